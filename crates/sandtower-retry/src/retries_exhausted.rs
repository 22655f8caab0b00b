use sandtower_core::{BoxError, Outcome};

use crate::decide::Stop;

/// A call that ended after its last response was discarded: a layer below rejected the next attempt, or
/// its deadline passed before it could be sent.
///
/// A rejection is the [`source`](std::error::Error::source), so that [`find`](sandtower_core::find) finds
/// it; the failure before it is available too.
#[derive(Debug)]
pub struct RetriesExhausted {
    why: Stop,
    attempts: u32,
    last: Outcome,
    last_error: Option<BoxError>,
    rejection: Option<BoxError>,
}

impl RetriesExhausted {
    pub(crate) fn rejected(
        rejection: BoxError,
        attempts: u32,
        last: Outcome,
        last_error: Option<BoxError>,
    ) -> Self {
        Self { why: Stop::Rejected, attempts, last, last_error, rejection: Some(rejection) }
    }

    pub(crate) fn too_late(attempts: u32, last: Outcome, last_error: Option<BoxError>) -> Self {
        Self { why: Stop::OutOfTime, attempts, last, last_error, rejection: None }
    }

    /// Why there was no further attempt.
    pub fn why(&self) -> Stop {
        self.why
    }

    /// The number of attempts.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The outcome of the last attempt.
    pub fn last(&self) -> Outcome {
        self.last
    }

    /// The error of the last attempt; `None` if it got a response, which was discarded.
    pub fn last_error(&self) -> Option<&BoxError> {
        self.last_error.as_ref()
    }
}

impl std::fmt::Display for RetriesExhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, last, .. } = self;
        f.write_str(match self.why {
            Stop::Rejected => "a retry was rejected",
            _ => "no time for a retry",
        })?;
        match attempts {
            1 => write!(f, " after an attempt that was {last}")?,
            _ => write!(f, " after {attempts} attempts, the last of which was {last}")?,
        }
        match &self.last_error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RetriesExhausted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match (&self.rejection, &self.last_error) {
            (Some(rejection), _) => Some(&**rejection),
            (None, Some(error)) => Some(&**error),
            (None, None) => None,
        }
    }
}
