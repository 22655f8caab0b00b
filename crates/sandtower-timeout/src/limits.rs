use std::time::Duration;

use sandtower_core::Operation;

/// The limits of operations.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::Operation;
/// use sandtower_timeout::Limits;
///
/// const READ: Operation = Operation::new(1, "file_read");
/// const STREAM: Operation = Operation::new(2, "process_start");
///
/// let limits = Limits::all(Duration::from_secs(60))
///     .operation(READ, Some(Duration::from_secs(3)))
///     .operation(STREAM, None);
/// assert_eq!(limits.of(READ), Some(Duration::from_secs(3)));
/// assert_eq!(limits.of(STREAM), None);
/// assert_eq!(limits.of(Operation::CALL), Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Limits {
    all: Option<Duration>,
    /// By the operation's index; `None`: as `all`.
    own: Vec<Option<Option<Duration>>>,
}

impl Limits {
    /// `limit` for every operation.
    pub fn all(limit: Duration) -> Self {
        Self { all: Some(limit), own: Vec::new() }
    }

    /// No limit for any operation.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the limit of `operation`; `None`: none.
    #[must_use]
    pub fn operation(mut self, operation: Operation, limit: Option<Duration>) -> Self {
        let index = operation.index();
        if self.own.len() <= index {
            self.own.resize(index + 1, None);
        }
        self.own[index] = Some(limit);
        self
    }

    /// The limit of `operation`.
    pub fn of(&self, operation: Operation) -> Option<Duration> {
        self.own.get(operation.index()).copied().flatten().unwrap_or(self.all)
    }
}

/// The same limit for every operation.
impl From<Duration> for Limits {
    fn from(limit: Duration) -> Self {
        Self::all(limit)
    }
}
