//! A connection that gives no response, and a simulator that cannot be.

use std::error::Error;
use std::sync::LazyLock;
use std::{fmt, io};

use sandtower_core::{ClassifiedError, Effect, Verdict};

/// The simulated connection broke before a response, or in the middle of one.
///
/// Its source is the [`io::Error`] that a socket would have given: clients tell by that whether the
/// request left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    kind: ConnectionErrorKind,
    processed: bool,
}

/// How a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionErrorKind {
    /// It was never made.
    Refused,
    /// It was closed by the other side.
    Reset,
}

impl ConnectionError {
    pub(crate) fn refused() -> Self {
        Self { kind: ConnectionErrorKind::Refused, processed: false }
    }

    pub(crate) fn reset(processed: bool) -> Self {
        Self { kind: ConnectionErrorKind::Reset, processed }
    }

    /// How it broke.
    #[must_use]
    pub fn kind(&self) -> ConnectionErrorKind {
        self.kind
    }

    /// Whether the request had its effect all the same.
    ///
    /// No client of the real service could know; a test may.
    #[must_use]
    pub fn processed(&self) -> bool {
        self.processed
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ConnectionErrorKind::Refused => "connection refused",
            ConnectionErrorKind::Reset => "connection reset",
        })
    }
}

impl Error for ConnectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // A connector knows that it sent nothing; the layers believe only an error that says so.
        static REFUSED: LazyLock<ClassifiedError> = LazyLock::new(|| {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            ClassifiedError::new(Verdict::transient(Effect::None), refused)
        });
        static RESET: LazyLock<io::Error> = LazyLock::new(|| io::ErrorKind::ConnectionReset.into());
        Some(match self.kind {
            ConnectionErrorKind::Refused => &*REFUSED,
            ConnectionErrorKind::Reset => &*RESET,
        })
    }
}

/// A simulator cannot be set up so: a constant, a fault, a plan or a scenario is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig(String);

impl InvalidConfig {
    pub(crate) fn new(problem: impl fmt::Display) -> Self {
        Self(problem.to_string())
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl Error for InvalidConfig {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_source_is_what_a_socket_would_have_said() {
        let kind =
            |error: ConnectionError| sandtower_core::find::<io::Error>(&error).unwrap().kind();
        assert_eq!(kind(ConnectionError::refused()), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(ConnectionError::reset(true)), io::ErrorKind::ConnectionReset);
        let verdict = |error| sandtower_core::verdict_of_error(&error);
        assert_eq!(
            verdict(ConnectionError::refused()),
            Some(Verdict::transient(Effect::None)),
            "nothing was sent"
        );
        assert_eq!(verdict(ConnectionError::reset(false)), None);
    }
}
