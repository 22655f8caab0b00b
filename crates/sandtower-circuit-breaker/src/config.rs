use std::{sync::Arc, time::Duration};

use sandtower_core::settings::duration;
use sandtower_core::{Rng, Seed};
use serde::{Deserialize, Serialize};

use crate::{
    CircuitBreaker, ConfigError, Cusum, Trip,
    engine::Settings,
    open_time::{OpenFor, OpenTime},
    trip::Rule,
};

/// A breaker must not keep its service from being tried for longer than this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The configuration of a breaker. It is checked when the breaker is [built](Config::build).
///
/// ```
/// use std::time::Duration;
/// use sandtower_circuit_breaker::{Config, Trip};
///
/// let breaker = Config::recommended("search")
///     .trip(Trip::ConsecutiveFailures(3))
///     .open_for(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(breaker.name(), "search");
///
/// let wrong = Config::recommended("search").probes(0).build().unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "`probes` must be at least 1: with 0 an open breaker never closes",
/// );
/// # Ok::<(), sandtower_circuit_breaker::ConfigError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a configuration does nothing until it is built"]
pub struct Config {
    #[serde(skip)]
    name: Arc<str>,
    #[serde(skip)]
    seed: Seed,
    trip: Trip,
    open_for: OpenFor,
    #[serde(with = "duration")]
    longest_open: Duration,
    #[serde(with = "duration")]
    stable_after: Duration,
    probes: u32,
    successes: u32,
    ramp: u32,
    #[serde(with = "duration")]
    lease: Duration,
    #[serde(with = "duration")]
    expected: Duration,
    shadow: bool,
}

impl Config {
    /// What sandtower recommends, at 0.1 calls a second and at 1,000.
    ///
    /// | setting | |
    /// |---|---|
    /// | [`trip`](Self::trip) | [`Cusum::default`]: 7 calls and 1 s in a total outage |
    /// | [`open_between`](Self::open_between) | 1 s, each time half as long again, to 10 s; each drawn from its upper half |
    /// | [`stable_after`](Self::stable_after) | closed for 1 min, it starts with 1 s again |
    /// | [`longest_open`](Self::longest_open) | 5 min, if the server asks for it |
    /// | [`probes`](Self::probes), [`successes`](Self::successes) | 1 at a time, 1 has to succeed |
    /// | [`ramp`](Self::ramp) | 64 responses until it lets every call through |
    /// | [`lease`](Self::lease), [`expected`](Self::expected) | 60 s |
    pub fn recommended(name: impl Into<Arc<str>>) -> Self {
        Self::classic(name)
            .trip(Trip::Cusum(Cusum::default()))
            .open_between(Duration::from_secs(1), Duration::from_secs(10))
            .ramp(64)
    }

    /// The widespread numbers: opens for 60 s after 5 consecutive failures, then sends one probe,
    /// whose success closes it for every call. The lease of the probe and the expected time are 60 s;
    /// a server may ask for up to 5 min.
    pub fn classic(name: impl Into<Arc<str>>) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            name: name.into(),
            seed: Seed::random(),
            trip: Trip::ConsecutiveFailures(5),
            open_for: OpenFor::Exactly(minute),
            longest_open: 5 * minute,
            stable_after: minute,
            probes: 1,
            successes: 1,
            ramp: 0,
            lease: minute,
            expected: minute,
            shadow: false,
        }
    }

    /// The name in rejections, events and snapshots.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// When it opens.
    pub fn trip(mut self, trip: Trip) -> Self {
        self.trip = trip;
        self
    }

    /// It stays open for exactly `time`, however often: greater than zero, at most 24 h.
    pub fn open_for(self, time: Duration) -> Self {
        Self { open_for: OpenFor::Exactly(time), ..self }
    }

    /// It stays open for `first`, then half as long again each time that it opens again, `most` at
    /// most, until it was [stable](Self::stable_after): a service that was down for some time is found
    /// healthy after about half of that. Each time is drawn evenly from its upper half, so that the
    /// breakers of many processes do not probe together. Greater than zero, at most 24 h, and `first`
    /// no more than `most`.
    pub fn open_between(self, first: Duration, most: Duration) -> Self {
        Self { open_for: OpenFor::Between { first, most }, ..self }
    }

    /// Closed for this long, it starts with the first open time again: greater than zero, at most 24 h.
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// The most that a server's `retry_after` extends the open time to, so that no server can keep
    /// its callers away forever: greater than zero, at most 24 h. Never shortens the breaker's own
    /// time.
    pub fn longest_open(mut self, time: Duration) -> Self {
        self.longest_open = time;
        self
    }

    /// How many probes may be in flight at a time while half-open: 1 or more.
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// How many probes have to succeed before it closes, with none failing: 1 or more.
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes;
        self
    }

    /// After how many responses it lets every call through once it has closed; 0: at once.
    ///
    /// Until then no more attempts may be in flight than responses have come since, and one: the load
    /// on a service that has just recovered doubles in the time of one response, and callers that
    /// waited for it cannot stampede. At few calls it makes no difference. Admission control queues
    /// the calls that have to wait. If half the evidence that it takes to open is found meanwhile, it
    /// opens again, without waiting for [`Cusum::at_least`].
    pub fn ramp(mut self, responses: u32) -> Self {
        self.ramp = responses;
        self
    }

    /// How long a probe may take: greater than zero, at most 24 h. A probe that outlives its lease is
    /// void, and the next call is a probe in its place. Choose the timeout of an attempt and a second
    /// more: if every response takes longer than the lease, the breaker never closes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The longest that a response is expected to take. An attempt that its caller drops counts as a
    /// failure if it was in flight for this long, else as nothing. [`Duration::ZERO`]: every one
    /// counts; [`Duration::MAX`]: none does. A request that is
    /// [open-ended](sandtower_core::RequestInfo::open_ended) never counts.
    pub fn expected(mut self, time: Duration) -> Self {
        self.expected = time;
        self
    }

    /// Shadow mode: decides, counts and reports which calls it would have rejected, and lets every
    /// call through. For trying out a breaker, or its numbers, before it may reject anything.
    ///
    /// It opens, probes and closes as it would otherwise, on the outcomes of all calls: those of
    /// calls that it would have rejected count too. Not even [`force_open`](CircuitBreaker::force_open)
    /// rejects a call. Default: no. [`set_shadow`](CircuitBreaker::set_shadow) changes it at run time.
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// The seed of the open times. Default: a random one for each breaker.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Takes the name and seed from `base`: a file does not set them.
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), seed: base.seed.clone(), ..self }
    }

    /// A closed breaker with this configuration.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]: it says what is wrong and what would be right.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        CircuitBreaker::new(self)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        at_least_one("probes", self.probes, "an open breaker never closes")?;
        at_least_one("successes", self.successes, "it closes without a success")?;
        let (first, most) = self.open_for.bounds();
        within_a_day("open_for", first)?;
        within_a_day("open_for", most)?;
        if first > most {
            return Err(ConfigError::Backwards { first, most });
        }
        within_a_day("longest_open", self.longest_open)?;
        within_a_day("stable_after", self.stable_after)?;
        within_a_day("lease", self.lease)?;
        self.trip.check()
    }

    /// What the engine needs to know, of a configuration that was checked.
    pub(crate) fn settings(&self) -> Settings {
        let (first, most) = self.open_for.bounds();
        Settings {
            rule: Rule::of(self.trip),
            open: OpenTime {
                first,
                most,
                jitter: matches!(self.open_for, OpenFor::Between { .. }),
                longest: self.longest_open,
            },
            stable: self.stable_after,
            probes: self.probes,
            successes: self.successes,
            ramp: self.ramp,
            lease: self.lease,
            expected: self.expected,
        }
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow
    }

    pub(crate) fn rng(&self) -> Rng {
        self.seed.rng()
    }

    pub(crate) fn name_of(&self) -> Arc<str> {
        Arc::clone(&self.name)
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
    if value.is_zero() || value > DAY { Err(ConfigError::Time { setting, value }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: Config) -> String {
        config.build().unwrap_err().to_string()
    }

    #[test]
    fn what_is_invalid_is_rejected_with_what_would_be_right() {
        let config = || Config::recommended("E2B");
        let seconds = Duration::from_secs;
        assert_eq!(
            wrong(config().trip(Trip::ConsecutiveFailures(0))),
            "`consecutive_failures` must be at least 1: with 0 it opens without a failure",
        );
        assert_eq!(
            wrong(config().successes(0)),
            "`successes` must be at least 1: with 0 it closes without a success",
        );
        assert_eq!(
            wrong(config().open_for(Duration::ZERO)),
            "`open_for` must be greater than zero and at most 24 h, not 0ns",
        );
        assert_eq!(
            wrong(config().open_between(seconds(3), seconds(2))),
            "the first open time must be at most the longest, not 3s before 2s",
        );
        assert_eq!(
            wrong(config().trip(Trip::Cusum(Cusum::new(0.5, 0.1)))),
            "the shares of failures on a good day and in an outage must be between 0.001 and \
             0.999, the second greater by at least 0.05, not 0.5 and 0.1",
        );
        assert_eq!(
            wrong(config().trip(Trip::Cusum(Cusum::default().threshold(0.0)))),
            "`threshold` must be between 1 and 1,000 nats, such as 11, not 0",
        );
    }

    #[test]
    fn times_are_valid_up_to_their_bounds_and_not_beyond() {
        let (least, beyond) = (Duration::from_nanos(1), DAY + Duration::from_nanos(1));
        let setters: [fn(Config, Duration) -> Config; 6] = [
            Config::open_for,
            |config, time| config.open_between(time, time),
            |config, time| config.open_between(Duration::from_nanos(1), time),
            Config::stable_after,
            Config::longest_open,
            Config::lease,
        ];
        for set in setters {
            for time in [least, DAY] {
                assert!(set(Config::recommended("E2B"), time).check().is_ok(), "{time:?}");
            }
            for time in [Duration::ZERO, beyond, Duration::MAX] {
                assert!(set(Config::recommended("E2B"), time).check().is_err(), "{time:?}");
            }
        }
    }

    #[test]
    fn the_presets_are_valid() {
        assert_eq!(Config::recommended("E2B").check(), Ok(()));
        assert_eq!(Config::classic("E2B").check(), Ok(()));
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was_and_what_no_file_has_is_inherited() {
        for config in [
            Config::recommended("any"),
            Config::classic("any"),
            Config::classic("any")
                .trip(Trip::Cusum(Cusum::new(0.15, 0.6).threshold(7.5).half_life(DAY)))
                .open_for(Duration::from_millis(1_500))
                .probes(2)
                .successes(3)
                .lease(DAY)
                .expected(Duration::MAX)
                .shadow(true),
            Config::recommended("any")
                .trip(Trip::Cusum(Cusum::default().at_least(Duration::ZERO)))
                .open_between(Duration::from_secs(1), Duration::from_secs(1)),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: Config = serde_json::from_str(&text).unwrap();
            let again = again.inherit(&config);
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }
}
