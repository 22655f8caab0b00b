use std::time::Duration;

use sandtower_core::{BoxError, ClassifiedError, Effect, Operation, Verdict};

/// What was bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The whole call.
    Call,
    /// One attempt.
    Attempt,
}

/// The time was over.
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

    /// What was bounded.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// The operation that took too long.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// How long it was given.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// With its verdict: the request was sent, so something may have happened.
    pub(crate) fn judged(self) -> BoxError {
        ClassifiedError::new(Verdict::transient(Effect::Maybe), self).into()
    }
}

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.bound {
            Bound::Call => "deadline of the call",
            Bound::Attempt => "time-out of the attempt",
        };
        write!(f, "{what} {} passed after {:?}", self.operation, self.after)
    }
}

impl std::error::Error for Elapsed {}
