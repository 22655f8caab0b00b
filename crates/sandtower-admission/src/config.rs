use std::sync::Arc;

use sandtower_core::Operation;

/// How a waiting room is furnished.
///
/// ```
/// use sandtower_admission::Config;
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// let config = Config::new("E2B").concurrency(64).concurrency_for(CREATE, 2).queue(1_000);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) name: Arc<str>,
    pub(crate) concurrency: u32,
    pub(crate) concurrency_for: Vec<(Operation, u32)>,
    pub(crate) queue: u32,
}

impl Config {
    /// 64 calls in flight and 1,024 waiting per operation. `name` appears in refusals and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), concurrency: 64, concurrency_for: Vec::new(), queue: 1_024 }
    }

    /// Calls in flight at once, per operation.
    #[must_use]
    pub fn concurrency(mut self, limit: u32) -> Self {
        self.concurrency = limit;
        self
    }

    /// Calls in flight at once for one operation.
    #[must_use]
    pub fn concurrency_for(mut self, operation: Operation, limit: u32) -> Self {
        self.concurrency_for.push((operation, limit));
        self
    }

    /// Calls that may wait, per operation; those beyond are refused at once. 0: nobody waits.
    #[must_use]
    pub fn queue(mut self, limit: u32) -> Self {
        self.queue = limit;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let limits =
            self.concurrency_for.iter().map(|(operation, limit)| (operation.name(), *limit));
        for (operation, limit) in
            std::iter::once(("every operation", self.concurrency)).chain(limits)
        {
            if limit == 0 {
                return Err(ConfigError::NoConcurrency { operation });
            }
        }
        Ok(())
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> u32 {
        let own = self.concurrency_for.iter().rev().find(|(o, _)| o.index() == operation.index());
        own.map_or(self.concurrency, |(_, limit)| *limit)
    }
}

/// A [`Config`] that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of 0 calls in flight: nothing would ever be sent.
    NoConcurrency {
        /// The operation it was given for.
        operation: &'static str,
    },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConcurrency { operation } => write!(
                f,
                "the concurrency for {operation} is 0, so that nothing could ever be sent; it must be at least 1"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
