use std::time::Duration;

use sandtower_core::{BoxError, ClassifiedError, Effect, Operation, RequestInfo, Verdict, chain};

/// What a limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The whole call.
    Call,
    /// One attempt.
    Attempt,
}

/// A call or an attempt timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    bound: Bound,
    operation: Operation,
    after: Duration,
    open_ended: bool,
}

impl Elapsed {
    pub(crate) fn new(bound: Bound, info: &RequestInfo, after: Duration) -> Self {
        Self { bound, operation: info.operation, after, open_ended: info.open_ended }
    }

    /// Which limit.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// The operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The limit.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// With its verdict: the request was sent, so it may have had an effect. If an open-ended call reaches
    /// its limit, that is no evidence about the service.
    pub(crate) fn classified(self) -> BoxError {
        let verdict = Verdict::transient(Effect::Maybe);
        let verdict = if self.open_ended { verdict.about_caller() } else { verdict };
        ClassifiedError::new(verdict, self).into()
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

/// Whether a call or an attempt timed out: the chain of `error` contains an [`Elapsed`], or an
/// [`io::Error`](std::io::Error) of the kind [`TimedOut`](std::io::ErrorKind::TimedOut), as from a
/// transport or a stalled body.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use sandtower_timeout::is_timeout;
///
/// assert!(is_timeout(&Error::from(ErrorKind::TimedOut)));
/// assert!(!is_timeout(&Error::from(ErrorKind::ConnectionReset)));
/// ```
pub fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|error| {
        let io = error.downcast_ref::<std::io::Error>();
        error.is::<Elapsed>() || io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    })
}
