/// When a closed breaker opens.
///
/// ```
/// use sandtower_circuit_breaker::{Config, Trip};
///
/// let config = Config::new("E2B").trip(Trip::ConsecutiveFailures(3));
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trip {
    /// After this many failures with no success between them; at least 1.
    ///
    /// A permanent or exhausted answer ends the run as a success does. Throttled, refused and
    /// quickly cancelled attempts neither lengthen nor end it.
    ConsecutiveFailures(u32),
}

impl Trip {
    pub(crate) fn is_due(self, tally: Tally) -> bool {
        match self {
            Self::ConsecutiveFailures(failures) => tally.failed >= failures,
        }
    }
}

/// What came of the calls since the service was last known to be well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many of them failed.
    pub(crate) failed: u32,
    /// How many there were, from the first failure on.
    pub(crate) of: u32,
}

impl Tally {
    pub(crate) fn failure(&mut self) {
        self.failed = self.failed.saturating_add(1);
        self.of = self.of.saturating_add(1);
    }

    /// A call that did not fail, but does not end the count either.
    pub(crate) fn other(&mut self) {
        if self.failed > 0 {
            self.of = self.of.saturating_add(1);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
