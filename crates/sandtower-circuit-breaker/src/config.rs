use std::{sync::Arc, time::Duration};

use sandtower_core::Seed;

use crate::{CircuitBreaker, Cusum, Trip, engine::Settings, open_time::OpenTime, trip::Rule};

/// No breaker may keep its service from being tried for longer than this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a breaker does with a call while it rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOpen {
    /// Rejects it at once.
    #[default]
    Reject,
    /// Tells the waiting room when the next probe is due, so that it can hold the call until then.
    /// In a layer of its own, where there is no room to wait in, this rejects too; but only once
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
    name: Arc<str>,
    when_open: WhenOpen,
    seed: Seed,
    trip: Trip,
    open: OpenTime,
    stable: Duration,
    probes: u32,
    successes: u32,
    ramp: u32,
    lease: Duration,
    expected: Duration,
}

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) name: Arc<str>,
    pub(crate) when_open: WhenOpen,
    pub(crate) seed: Seed,
    pub(crate) settings: Settings,
}

impl Config {
    /// What sandtower recommends, at 0.1 calls a second and at 1,000.
    ///
    /// | setting | |
    /// |---|---|
    /// | [`trip`](Self::trip) | [`Cusum::default`]: 7 calls and 1 s in a total outage |
    /// | [`open_between`](Self::open_between) | 1 s, each time half as long again, to 10 s; each drawn from its upper half |
    /// | [`stable_after`](Self::stable_after) | closed for 1 min, it begins with 1 s again |
    /// | [`longest_open`](Self::longest_open) | 5 min, if the server asks for it |
    /// | [`probes`](Self::probes), [`successes`](Self::successes) | 1 at a time, 1 has to succeed |
    /// | [`ramp`](Self::ramp) | 64 answers until it lets everyone through |
    /// | [`lease`](Self::lease), [`expected`](Self::expected) | 60 s |
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::classic(name)
            .trip(Trip::Cusum(Cusum::default()))
            .open_between(Duration::from_secs(1), Duration::from_secs(10))
            .ramp(64)
    }

    /// The name in rejections, events and snapshots, for one more breaker of the same kind.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The numbers of the application that sandtower was first made for: opens for 60 s after 5
    /// consecutive failures, then sends one probe, whose success closes it for everyone. The lease of
    /// the probe and the expected time are 60 s; a server may ask for up to 5 min.
    pub fn classic(name: impl Into<Arc<str>>) -> Self {
        let open = Duration::from_secs(60);
        let longest = Duration::from_secs(5 * 60);
        Self {
            name: name.into(),
            when_open: WhenOpen::default(),
            seed: Seed::random(),
            trip: Trip::ConsecutiveFailures(5),
            open: OpenTime { first: open, most: open, jitter: false, longest },
            stable: Duration::from_secs(60),
            probes: 1,
            successes: 1,
            ramp: 0,
            lease: Duration::from_secs(60),
            expected: Duration::from_secs(60),
        }
    }

    /// When it opens.
    pub fn trip(mut self, trip: Trip) -> Self {
        self.trip = trip;
        self
    }

    /// It stays open for exactly `time`, however often: more than 0, at most a day.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open = OpenTime { first: time, most: time, jitter: false, ..self.open };
        self
    }

    /// It stays open for `first`, then half as long again each time that it opens again, `most` at
    /// most, until it was [stable](Self::stable_after): whoever was down for some time is found well
    /// after about half of that. Each time is drawn evenly from the upper half of that, so that the
    /// breakers of many processes do not probe all at once. More than 0, at most a day, and `first` no
    /// more than `most`.
    pub fn open_between(mut self, first: Duration, most: Duration) -> Self {
        self.open = OpenTime { first, most, jitter: true, ..self.open };
        self
    }

    /// Closed for this long, it begins with the first open time again: more than 0, at most a day.
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable = time;
        self
    }

    /// The most that a server's `retry_after` extends the open time to, so that no server can keep
    /// its callers away for good. More than 0, at most a day. Never shortens the breaker's own time.
    pub fn longest_open(mut self, time: Duration) -> Self {
        self.open.longest = time;
        self
    }

    /// How many probes may be out at a time while half-open: 1 or more.
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// How many probes have to succeed before it closes, with none failing: 1 or more.
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes;
        self
    }

    /// After how many answers it lets everyone through once it has closed; 0: at once.
    ///
    /// Until then no more attempts may be out than have come back since, and one: the load on a
    /// service that has just come back doubles in the time that it takes to answer, and callers
    /// that waited for it cannot all come at once. At few calls nobody notices. A waiting room holds
    /// those that have to wait, whatever [`when_open`](Self::when_open) says. If half the
    /// evidence that it takes to open is found meanwhile, it opens again, without waiting for
    /// [`Cusum::at_least`].
    pub fn ramp(mut self, answers: u32) -> Self {
        self.ramp = answers;
        self
    }

    /// How long a probe may take: more than 0, at most a day. A probe that outlives its lease is
    /// void, and the next one is sent in its place. Choose the time-out of an attempt and a second
    /// more: if every answer takes longer than the lease, the breaker never closes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The longest that an answer is expected to take. An attempt that its caller drops counts as a
    /// failure if it was out for this long, else as nothing. [`Duration::ZERO`]: every one counts;
    /// [`Duration::MAX`]: none does.
    pub fn expected(mut self, time: Duration) -> Self {
        self.expected = time;
        self
    }

    /// Where the drawing of open times begins. Default: anew for every breaker.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// What happens to a call while it rejects.
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

    pub(crate) fn checked(self) -> Result<Parts, ConfigError> {
        let OpenTime { first, most, longest, .. } = self.open;
        at_least_one("probes", self.probes, "with none an open breaker never closes")?;
        at_least_one("successes", self.successes, "with 0 it closes for no reason")?;
        within_a_day("open_for", first)?;
        within_a_day("open_for", most)?;
        if first > most {
            return Err(ConfigError::Backwards { first, most });
        }
        within_a_day("longest_open", longest)?;
        within_a_day("stable_after", self.stable)?;
        within_a_day("lease", self.lease)?;
        let rule = Rule::of(self.trip)?;
        Ok(self.parts(rule))
    }

    fn parts(self, rule: Rule) -> Parts {
        let Self { name, when_open, seed, open, stable, probes, successes, ramp, .. } = self;
        let (lease, expected) = (self.lease, self.expected);
        let settings = Settings { rule, open, stable, probes, successes, ramp, lease, expected };
        Parts { name, when_open, seed, settings }
    }
}

impl Parts {
    /// Of [`Config::classic`], which makes sense.
    pub(crate) fn classic(name: impl Into<Arc<str>>) -> Self {
        Config::classic(name).parts(Rule::consecutive(5))
    }
}

fn at_least_one(
    setting: &'static str,
    value: u32,
    because: &'static str,
) -> Result<(), ConfigError> {
    if value == 0 { Err(ConfigError::Zero { setting, because }) } else { Ok(()) }
}

pub(crate) fn within_a_day(setting: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        Err(ConfigError::NoTime { setting })
    } else if value > DAY {
        Err(ConfigError::TooLong { setting, value })
    } else {
        Ok(())
    }
}

/// Why a configuration makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The first open time is longer than the longest.
    #[error("it opens for {first:?} at first and {most:?} at most; let the first be no longer")]
    Backwards {
        /// The first.
        first: Duration,
        /// The longest.
        most: Duration,
    },
    /// A good day and an outage are no shares of failures, or cannot be told apart.
    #[error(
        "{good_day} of calls fail on a good day and {outage} in an outage; use shares between \
         0.001 and 0.999, the second greater by 0.05 at least"
    )]
    Shares {
        /// On a good day.
        good_day: f64,
        /// In an outage.
        outage: f64,
    },
    /// The evidence that opens it is not between 1 and 1,000 nats.
    #[error("{threshold} nats of evidence open it; use 1 to 1,000, such as 11")]
    Threshold {
        /// How much it is.
        threshold: f64,
    },
    /// No scope may have a breaker of its own.
    #[error("no scope may have a breaker of its own; let 1 or more, or use one breaker")]
    NoScopes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: Config) -> String {
        config.build().unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_rejected_with_what_would() {
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
    fn times_and_shares_that_contradict_each_other_are_rejected() {
        let config = || Config::new("E2B");
        let seconds = Duration::from_secs;
        assert_eq!(
            wrong(config().open_between(seconds(3), seconds(2))),
            "it opens for 3s at first and 2s at most; let the first be no longer",
        );
        assert_eq!(
            wrong(config().trip(Trip::Cusum(Cusum::new(0.5, 0.1)))),
            "0.5 of calls fail on a good day and 0.1 in an outage; use shares between 0.001 and \
             0.999, the second greater by 0.05 at least",
        );
        assert_eq!(
            wrong(config().trip(Trip::Cusum(Cusum::default().threshold(0.0)))),
            "0 nats of evidence open it; use 1 to 1,000, such as 11",
        );
        assert_eq!(
            wrong(config().stable_after(Duration::ZERO)),
            "stable_after is no time at all; use more than 0, and a day at most",
        );
    }

    #[test]
    fn the_presets_make_sense() {
        assert!(Config::new("E2B").build().is_ok());
        let checked = Config::classic("E2B").checked().unwrap();
        assert_eq!(checked.settings, Parts::classic("E2B").settings);
    }
}
