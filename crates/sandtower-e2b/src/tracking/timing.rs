use std::time::Duration;

/// How long what may have been made is looked for, and how hard.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`commit_within`](Timing::commit_within) | 90 s | E2B's API gives up on a request after 70 s, and what it has begun can still commit 20 s later |
/// | [`listing_lag`](Timing::listing_lag) | 20 s | so long a new sandbox may be missing from the listing |
/// | [`look_within`](Timing::look_within) | 20 s | a caller waits for it: a listing, a connect and a probe take 2 s when all is well |
/// | [`sweep_every`](Timing::sweep_every) | 5 s | a latecomer holds a slot of the plan until it is seen |
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

/// What is wrong with a [`Timing`], and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingError {
    /// A look that may take no time finds nothing.
    #[error("`look_within` is 0 s: a look takes more, such as 20 s")]
    NoLook,
    /// Sweeps without a pause would be all that the service hears of us.
    #[error("`sweep_every` is less than 100 ms: sweeps need a pause between them, such as 5 s")]
    NoPause,
    /// What is never tried is given up at once.
    #[error("`abandon_after` is 0 s: no kill could be tried; it takes more, such as 15 min")]
    NoTimeToAbandon,
}

impl Timing {
    /// How long after its send an attempt whose response is lost may still make its sandbox.
    pub fn commit_within(mut self, within: Duration) -> Self {
        self.commit_within = within;
        self
    }

    /// How long after a sandbox was made the listing may not show it.
    pub fn listing_lag(mut self, lag: Duration) -> Self {
        self.listing_lag = lag;
        self
    }

    /// How long a caller waits for the look what became of its attempt, with the connect and the
    /// probe of what was found; more than zero.
    pub fn look_within(mut self, within: Duration) -> Self {
        self.look_within = within;
        self
    }

    /// The time from one listing in the background to the next; at least 100 ms. Doubled for each
    /// that fails, up to a minute.
    pub fn sweep_every(mut self, every: Duration) -> Self {
        self.sweep_every = every;
        self
    }

    /// How long beyond its time an attempt is looked for while no listing succeeds, and how long
    /// the kill of one sandbox is tried; more than zero.
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

    /// How long after its send an attempt may still be found to have made its sandbox.
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
    fn the_default_is_valid_and_nonsense_is_not() {
        let timing = Timing::default();
        assert_eq!(timing.check(), Ok(()));
        assert_eq!(timing.look_within(Duration::ZERO).check(), Err(TimingError::NoLook));
        assert_eq!(timing.sweep_every(Duration::ZERO).check(), Err(TimingError::NoPause));
        assert_eq!(timing.abandon_after(Duration::ZERO).check(), Err(TimingError::NoTimeToAbandon));
    }
}
