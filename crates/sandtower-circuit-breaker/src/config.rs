use std::{sync::Arc, time::Duration};

use crate::{CircuitBreaker, Trip, engine::Settings};

/// No breaker may keep its service from being tried for longer than this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a breaker does with a call while it refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOpen {
    /// Refuses it at once.
    #[default]
    Refuse,
    /// Tells the waiting room when the next probe is due, so that it can hold the call until then.
    /// In a layer of its own, where there is no room to wait in, this refuses too; but only once
    /// the service below is ready.
    Hold,
}

/// How a breaker is to behave. Nothing is checked before [`build`](Config::build).
///
/// ```
/// use std::time::Duration;
/// use sandtower_circuit_breaker::{Config, Trip};
///
/// let breaker = Config::new("E2B")
///     .trip(Trip::ConsecutiveFailures(3))
///     .open_for(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(breaker.name(), "E2B");
///
/// let wrong = Config::new("E2B").probes(0).build().unwrap_err();
/// assert_eq!(wrong.to_string(), "probes is 0: with none an open breaker never closes; use 1 or more");
/// # Ok::<(), sandtower_circuit_breaker::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until it is built"]
pub struct Config {
    pub(crate) name: Arc<str>,
    pub(crate) when_open: WhenOpen,
    pub(crate) settings: Settings,
}

impl Config {
    /// Opens for 10 s after 5 consecutive failures: the longest that a service which came back is
    /// kept waiting for its first call. Otherwise like [`original`](Self::original).
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::original(name).open_for(Duration::from_secs(10))
    }

    /// The numbers of the application that sandtower was first made for: opens for 60 s after 5
    /// consecutive failures, then sends one probe, whose success closes it. The lease of the probe
    /// and the expected time are 60 s; a server may ask for up to 5 min.
    pub fn original(name: impl Into<Arc<str>>) -> Self {
        let settings = Settings {
            trip: Trip::ConsecutiveFailures(5),
            open_for: Duration::from_secs(60),
            longest_open: Duration::from_secs(5 * 60),
            probes: 1,
            successes: 1,
            lease: Duration::from_secs(60),
            expected: Duration::from_secs(60),
        };
        Self { name: name.into(), when_open: WhenOpen::default(), settings }
    }

    /// When it opens.
    pub fn trip(mut self, trip: Trip) -> Self {
        self.settings.trip = trip;
        self
    }

    /// How long it stays open: more than 0, at most a day.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.settings.open_for = time;
        self
    }

    /// The most that a server's `retry_after` extends the open time to, so that no server can keep
    /// its callers away for good. At most a day. Never shortens [`open_for`](Self::open_for).
    pub fn longest_open(mut self, time: Duration) -> Self {
        self.settings.longest_open = time;
        self
    }

    /// How many probes may be out at a time while half-open: 1 or more.
    pub fn probes(mut self, probes: u32) -> Self {
        self.settings.probes = probes;
        self
    }

    /// How many probes have to succeed before it closes, with none failing: 1 or more.
    pub fn successes(mut self, successes: u32) -> Self {
        self.settings.successes = successes;
        self
    }

    /// How long a probe may take: more than 0, at most a day. A probe that outlives its lease is
    /// void, and the next one is sent in its place. Choose the time-out of an attempt and a second
    /// more: if every answer takes longer than the lease, the breaker never closes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// The longest that an answer is expected to take. An attempt that its caller drops counts as a
    /// failure if it was out for this long, else as nothing. [`Duration::ZERO`]: every one counts;
    /// [`Duration::MAX`]: none does.
    pub fn expected(mut self, time: Duration) -> Self {
        self.settings.expected = time;
        self
    }

    /// What happens to a call while it refuses.
    pub fn when_open(mut self, when_open: WhenOpen) -> Self {
        self.when_open = when_open;
        self
    }

    /// A closed breaker with this configuration.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]: it tells what is wrong and what would be right.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        CircuitBreaker::new(self)
    }

    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        let Settings { trip, open_for, longest_open, probes, successes, lease, .. } = self.settings;
        let Trip::ConsecutiveFailures(failures) = trip;
        at_least_one("consecutive failures", failures, "with 0 it opens for no reason")?;
        at_least_one("probes", probes, "with none an open breaker never closes")?;
        at_least_one("successes", successes, "with 0 it closes for no reason")?;
        within_a_day("open_for", open_for)?;
        within_a_day("longest_open", longest_open)?;
        within_a_day("lease", lease)?;
        Ok(self)
    }
}

fn at_least_one(
    setting: &'static str,
    value: u32,
    because: &'static str,
) -> Result<(), ConfigError> {
    if value == 0 { Err(ConfigError::Zero { setting, because }) } else { Ok(()) }
}

fn within_a_day(setting: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        Err(ConfigError::NoTime { setting })
    } else if value > DAY {
        Err(ConfigError::TooLong { setting, value })
    } else {
        Ok(())
    }
}

/// Why a configuration makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number that has to be at least 1 is 0.
    #[error("{setting} is 0: {because}; use 1 or more")]
    Zero {
        /// Which.
        setting: &'static str,
        /// What would come of it.
        because: &'static str,
    },
    /// A time is zero.
    #[error("{setting} is no time at all; use more than 0, and a day at most")]
    NoTime {
        /// Which.
        setting: &'static str,
    },
    /// A time is so long that the service would in effect never be tried again.
    #[error("{setting} is {value:?}: so long, it would never be over; use a day at most")]
    TooLong {
        /// Which.
        setting: &'static str,
        /// What it was set to.
        value: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: Config) -> String {
        config.build().unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let config = || Config::new("E2B");
        assert_eq!(
            wrong(config().trip(Trip::ConsecutiveFailures(0))),
            "consecutive failures is 0: with 0 it opens for no reason; use 1 or more",
        );
        assert_eq!(
            wrong(config().successes(0)),
            "successes is 0: with 0 it closes for no reason; use 1 or more",
        );
        assert_eq!(
            wrong(config().open_for(Duration::ZERO)),
            "open_for is no time at all; use more than 0, and a day at most",
        );
        assert_eq!(
            wrong(config().lease(Duration::from_secs(86_401))),
            "lease is 86401s: so long, it would never be over; use a day at most",
        );
    }

    #[test]
    fn the_presets_make_sense() {
        assert!(Config::new("E2B").build().is_ok());
        assert!(Config::original("E2B").build().is_ok());
    }
}
