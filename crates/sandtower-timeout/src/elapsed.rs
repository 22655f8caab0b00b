use std::time::Duration;

use sandtower_core::{BoxError, ClassifiedError, Effect, Operation, Verdict};

/// What a limit is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The whole call.
    Call,
    /// One attempt.
    Attempt,
}

/// The time of a call or of an attempt was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    bound: Bound,
    operation: Operation,
    after: Duration,
}

impl Elapsed {
    pub(crate) fn new(bound: Bound, operation: Operation, after: Duration) -> Self {
        Self { bound, operation, after }
    }

    /// Which limit it was.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// The operation that took too long.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The limit.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// With its verdict: the request was sent, so something may have happened.
    pub(crate) fn classified(self) -> BoxError {
        ClassifiedError::new(Verdict::transient(Effect::Maybe), self).into()
    }
}

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.bound {
            Bound::Call => "the deadline of the call passed",
            Bound::Attempt => "the attempt timed out",
        };
        write!(f, "{what} after {:?} (operation `{}`)", self.after, self.operation)
    }
}

impl std::error::Error for Elapsed {}
