use std::time::Duration;

/// How long, and how often, the tracker looks for sandboxes of unknown attempts.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`commit_within`](Timing::commit_within) | 90 s | E2B's API times out after 70 s, and a creation in flight can still commit 20 s later |
/// | [`listing_lag`](Timing::listing_lag) | 20 s | a new sandbox may be missing from the listing for this long |
/// | [`look_within`](Timing::look_within) | 20 s | a caller waits for it; a listing, a connect and a probe take 2 s if E2B is healthy |
/// | [`sweep_every`](Timing::sweep_every) | 5 s | a late sandbox occupies a slot of the plan until it is found |
/// | [`abandon_after`](Timing::abandon_after) | 15 min | longer than most outages |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing by itself"]
pub struct Timing {
    pub(super) commit_within: Duration,
    pub(super) listing_lag: Duration,
    pub(super) look_within: Duration,
    pub(super) sweep_every: Duration,
    pub(super) abandon_after: Duration,
}

/// An invalid [`Timing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingError {
    /// `look_within` is zero.
    #[error("`look_within` is 0 s: a look takes more, such as 20 s")]
    NoLook,
    /// `sweep_every` is too short.
    #[error("`sweep_every` is less than 100 ms: sweeps need a pause between them, such as 5 s")]
    NoPause,
    /// `abandon_after` is zero.
    #[error("`abandon_after` is 0 s: no kill could be tried; it takes more, such as 15 min")]
    NoTimeToAbandon,
}

impl Timing {
    /// How long after it was sent an attempt whose response is lost may still create its sandbox.
    pub fn commit_within(mut self, within: Duration) -> Self {
        self.commit_within = within;
        self
    }

    /// How long a new sandbox may be missing from the listing.
    pub fn listing_lag(mut self, lag: Duration) -> Self {
        self.listing_lag = lag;
        self
    }

    /// How long a caller waits until the result of its attempt is known, with the connect and the probe
    /// of a sandbox that was found; more than zero.
    pub fn look_within(mut self, within: Duration) -> Self {
        self.look_within = within;
        self
    }

    /// The interval of listings in the background; at least 100 ms. Doubled after each failed listing, up
    /// to a minute.
    pub fn sweep_every(mut self, every: Duration) -> Self {
        self.sweep_every = every;
        self
    }

    /// How long after its time an attempt is watched while no listing succeeds, and how long the kill of
    /// a sandbox is retried; more than zero.
    pub fn abandon_after(mut self, after: Duration) -> Self {
        self.abandon_after = after;
        self
    }

    pub(super) fn check(&self) -> Result<(), TimingError> {
        if self.look_within.is_zero() {
            return Err(TimingError::NoLook);
        }
        if self.sweep_every < Duration::from_millis(100) {
            return Err(TimingError::NoPause);
        }
        if self.abandon_after.is_zero() {
            return Err(TimingError::NoTimeToAbandon);
        }
        Ok(())
    }

    /// How long after it was sent the sandbox of an attempt may still appear.
    pub(super) fn watched_for(&self) -> Duration {
        self.commit_within.saturating_add(self.listing_lag)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            commit_within: Duration::from_secs(90),
            listing_lag: Duration::from_secs(20),
            look_within: Duration::from_secs(20),
            sweep_every: Duration::from_secs(5),
            abandon_after: Duration::from_secs(15 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_out_of_range_values_are_not() {
        let timing = Timing::default();
        assert_eq!(timing.check(), Ok(()));
        assert_eq!(timing.look_within(Duration::ZERO).check(), Err(TimingError::NoLook));
        assert_eq!(timing.sweep_every(Duration::ZERO).check(), Err(TimingError::NoPause));
        assert_eq!(timing.abandon_after(Duration::ZERO).check(), Err(TimingError::NoTimeToAbandon));
    }
}
