use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Seed;

use crate::when::When;

/// The most places of one [`Failover`](crate::Failover).
pub(super) const MOST_PLACES: usize = 256;

/// How a [`Failover`](crate::Failover) moves between its places.
///
/// | setting | default |
/// |---|---|
/// | [`when`](FailoverConfig::when) | [`When::recommended`] |
/// | [`return_after`](FailoverConfig::return_after) | 60 s |
/// | [`lease`](FailoverConfig::lease) | 120 s |
#[derive(Clone, Debug)]
#[must_use = "a config does nothing by itself"]
pub struct FailoverConfig {
    pub(super) name: Arc<str>,
    pub(super) when: When,
    pub(super) return_after: Duration,
    pub(super) lease: Duration,
    pub(super) seed: Seed,
}

impl FailoverConfig {
    /// The defaults. The `name` of the group is for logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            when: When::recommended(),
            return_after: Duration::from_secs(60),
            // The longest that a call of the recommended stack takes.
            lease: Duration::from_secs(120),
            seed: Seed::random(),
        }
    }

    /// Which failures move on to the next place.
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// How long after leaving the first place, or after a failed probe of it, a call probes it again; more
    /// than zero. The last quarter is randomised, so that processes that left together do not return
    /// together.
    pub fn return_after(mut self, time: Duration) -> Self {
        self.return_after = time;
        self
    }

    /// How long that call may take; more than zero. If it takes longer, the next call probes instead, and
    /// the late result is ignored.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The source of jitter, for reproducible runs.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    pub(super) fn check(&self, places: usize) -> Result<(), FailoverConfigError> {
        let zero = |setting, time: Duration| match time.is_zero() {
            true => Err(FailoverConfigError::NoTime { setting }),
            false => Ok(()),
        };
        zero("return_after", self.return_after)?;
        zero("lease", self.lease)?;
        match places {
            0 => Err(FailoverConfigError::NoPlaces),
            1..=MOST_PLACES => Ok(()),
            _ => Err(FailoverConfigError::TooManyPlaces { places }),
        }
    }
}

/// An invalid [`Failover`](crate::Failover).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailoverConfigError {
    /// There are no places.
    #[error("`places` is empty; it must have 1 to 256 places")]
    NoPlaces,
    /// There are more than 256 places.
    #[error("`places` has {places} places; it must have 1 to 256")]
    TooManyPlaces {
        /// How many.
        places: usize,
    },
    /// A time is zero.
    #[error("`{setting}` must be greater than zero")]
    NoTime {
        /// Which.
        setting: &'static str,
    },
}
