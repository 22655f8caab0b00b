use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Operation;

use crate::limiter::Limit;
use crate::quota::Operations;

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
    pub(crate) concurrency: Limit,
    pub(crate) concurrency_for: Vec<(Operation, Limit)>,
    pub(crate) queue: u32,
    stands_after: Duration,
    pub(crate) admit_during_shutdown: Operations,
    pub(crate) slots_to_the_end: bool,
    stands_after_for: Vec<(Operation, Duration)>,
}

impl Config {
    /// 64 calls in flight and 1,024 waiting per operation. `name` appears in rejections and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            concurrency: Limit::Fixed(64),
            concurrency_for: Vec::new(),
            queue: 1_024,
            stands_after: Duration::from_secs(1),
            admit_during_shutdown: Operations::default(),
            slots_to_the_end: false,
            stands_after_for: Vec::new(),
        }
    }

    /// Calls in flight at once, per operation: a number, or [`Adaptive`](crate::Adaptive).
    #[must_use]
    pub fn concurrency(mut self, limit: impl Into<Limit>) -> Self {
        self.concurrency = limit.into();
        self
    }

    /// Calls in flight at once for one operation.
    #[must_use]
    pub fn concurrency_for(mut self, operation: Operation, limit: impl Into<Limit>) -> Self {
        self.concurrency_for.push((operation, limit.into()));
        self
    }

    /// Calls that may wait, per operation; those beyond are rejected at once. 0: nobody waits.
    #[must_use]
    pub fn queue(mut self, limit: u32) -> Self {
        self.queue = limit;
        self
    }

    /// How long a line may be there before the newest in it goes first, until it is empty: 1 s unless
    /// told. Those in front of a line that stands have waited so long that their callers may have
    /// gone; served first, they would make everyone wait as long. [`Duration::MAX`]: never.
    #[must_use]
    pub fn newest_first_after(mut self, time: Duration) -> Self {
        self.stands_after = time;
        self
    }

    /// The same for one operation: where callers wait for minutes, a line of a second is short.
    #[must_use]
    pub fn newest_first_after_for(mut self, operation: Operation, time: Duration) -> Self {
        self.stands_after_for.push((operation, time));
        self
    }

    /// Calls of `operation` put away what others have made: they are let in while the room
    /// [winds down](crate::AdmissionControl::begin_shutdown), and nobody waits for them.
    #[must_use]
    pub fn admit_during_shutdown(mut self, operation: Operation) -> Self {
        self.admit_during_shutdown.insert(operation);
        self
    }

    /// Whether a call whose answer goes on, and has an [ending](sandtower_core::Classifier::ending), keeps
    /// its slot until then; unless told, it is free once the head of the answer has come. The gates
    /// hear how it ended either way, and a [drain](crate::AdmissionControl::drain) waits for the slots alone.
    #[must_use]
    pub fn slots_to_the_end(mut self, kept: bool) -> Self {
        self.slots_to_the_end = kept;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.concurrency.check("every operation")?;
        self.concurrency_for.iter().try_for_each(|(operation, limit)| limit.check(operation.name()))
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> Limit {
        own(&self.concurrency_for, operation).unwrap_or(self.concurrency)
    }

    pub(crate) fn stands_after(&self, operation: Operation) -> Duration {
        own(&self.stands_after_for, operation).unwrap_or(self.stands_after)
    }
}

/// What was said last about one operation.
fn own<T: Copy>(of: &[(Operation, T)], operation: Operation) -> Option<T> {
    of.iter().rev().find(|(o, _)| o.index() == operation.index()).map(|(_, own)| *own)
}

/// A [`Config`] that cannot work.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of 0 calls in flight: nothing would ever be sent.
    NoConcurrency {
        /// The operation it was given for.
        operation: &'static str,
    },
    /// A tolerance under which every latency is too long.
    Tolerance {
        /// The operation it was given for.
        operation: &'static str,
        /// What it was.
        tolerance: f64,
    },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConcurrency { operation } => write!(
                f,
                "the concurrency for {operation} is 0, so that nothing could ever be sent; it must be at least 1"
            ),
            Self::Tolerance { operation, tolerance } => write!(
                f,
                "the tolerance for {operation} is {tolerance}; it must be a number above 1, such as 1.5"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
