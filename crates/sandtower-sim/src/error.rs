//! A connection that gives no answer.

use std::fmt;

/// The simulated connection broke before an answer, or in the middle of one.
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

impl std::error::Error for ConnectionError {}
