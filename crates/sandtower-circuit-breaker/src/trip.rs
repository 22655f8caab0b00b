use std::time::Duration;

use sandtower_core::settings::duration;
use sandtower_core::{Resource, Tick};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, config::within_a_day, sources::Sources};

/// When a closed breaker opens.
///
/// ```
/// use sandtower_circuit_breaker::{Config, Cusum, Trip};
///
/// // A service of which 15 % of calls fail on a good day, and 60 % on a bad one.
/// let noisy = Config::recommended("search").trip(Trip::Cusum(Cusum::new(0.15, 0.60)));
/// let simple = Config::recommended("search").trip(Trip::ConsecutiveFailures(3));
/// # let _ = (noisy, simple);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trip {
    /// Once the calls look more like an outage than like a good day by far. Right for few calls and
    /// for many.
    #[serde(rename = "evidence")]
    Cusum(Cusum),
    /// After this many failures with no success between them; at least 1. Simple to explain, but
    /// blind to an outage that lets some calls through; and five in a row happen by chance once in
    /// 110,000 calls when 10 % of them fail at random.
    ///
    /// A permanent or exhausted response ends the run as a success does. Throttled, rejected and
    /// quickly cancelled attempts neither lengthen nor end it.
    ConsecutiveFailures(u32),
}

impl Trip {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::ConsecutiveFailures(0) => Err(ConfigError::Zero {
                setting: "consecutive_failures",
                because: "it opens without a failure",
            }),
            Self::ConsecutiveFailures(_) => Ok(()),
            Self::Cusum(cusum) => cusum.check(),
        }
    }
}

/// The cumulative sum of evidence for an outage (Page, "Continuous inspection schemes", 1954).
///
/// Each call adds the logarithm of how much likelier its outcome is in an outage than on a good
/// day: a failure adds, a response takes away, and the sum never falls below zero. So old successes
/// do not dilute new failures, and nothing has to fill up before it works. The breaker opens when
/// the sum reaches the threshold. Unlike a window that is looked at after every call, the threshold
/// itself says how rare false alarms are: each nat makes them about e times rarer, and costs less
/// than one more failed call of a total outage.
///
/// With the defaults, 10 %, 50 % and 11, it takes 7 calls of a total outage, and 19 (median; 50 in
/// the 99th percentile) when half of them fail. It opens for nothing about once in 100 million calls
/// when 5 % fail at random, and once in 370,000 when 10 % do; beyond that use `new(0.15, 0.60)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cusum {
    good_day: f64,
    outage: f64,
    threshold: f64,
    #[serde(with = "duration")]
    half_life: Duration,
    #[serde(with = "duration")]
    at_least: Duration,
}

impl Cusum {
    /// Tells a day on which a `good_day` share of calls fails from one on which an `outage` share
    /// does. Opens for any share that is well above the middle between the two.
    ///
    /// Shares are between 0.001 and 0.999, and 0.05 apart at least; building checks it.
    pub const fn new(good_day: f64, outage: f64) -> Self {
        Self {
            good_day,
            outage,
            threshold: 11.0,
            half_life: Duration::from_secs(5 * 60),
            at_least: Duration::from_secs(1),
        }
    }

    /// How much evidence opens it, in nats: 1 to 1,000. Default: 11.
    #[must_use]
    pub const fn threshold(mut self, nats: f64) -> Self {
        self.threshold = nats;
        self
    }

    /// Each time that nothing is heard for so long, half of the evidence is forgotten: failures of
    /// yesterday do not add to those of today. More than 0, at most a day. Default: 5 min.
    #[must_use]
    pub const fn half_life(mut self, silence: Duration) -> Self {
        self.half_life = silence;
        self
    }

    /// How long it has to go on, from the first of those failures, before it opens: at 1,000 calls
    /// a second seven failures are a hiccup of milliseconds. At most a day. Default: 1 s.
    #[must_use]
    pub const fn at_least(mut self, time: Duration) -> Self {
        self.at_least = time;
        self
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { good_day, outage, threshold, half_life, at_least } = *self;
        let share = 0.001..=0.999;
        // Written so that what is not a number fails.
        if !(share.contains(&good_day) && share.contains(&outage) && outage - good_day >= 0.0499) {
            return Err(ConfigError::Shares { good_day, outage });
        }
        if !(1.0..=1_000.0).contains(&threshold) {
            return Err(ConfigError::Threshold { threshold });
        }
        within_a_day("half_life", half_life)?;
        if !at_least.is_zero() {
            within_a_day("at_least", at_least)?;
        }
        Ok(())
    }
}

impl Default for Cusum {
    fn default() -> Self {
        Self::new(0.10, 0.50)
    }
}

/// A [`Trip`] in whole numbers: one score, what moves it, and where it opens.
///
/// Fixed point: additions in any order give the same sum, and nothing drifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    failure: u64,
    /// What a response takes away.
    alive: u64,
    limit: u64,
    half_life: Option<Duration>,
    at_least: Duration,
}

/// One nat.
const NAT: f64 = 1e6;

impl Rule {
    /// The rule of a trip that was [checked](Trip::check).
    pub(crate) fn of(trip: Trip) -> Self {
        match trip {
            Trip::ConsecutiveFailures(failures) => Self::consecutive(failures),
            Trip::Cusum(cusum) => {
                let Cusum { good_day, outage, threshold, half_life, at_least } = cusum;
                Self {
                    failure: fixed((outage / good_day).ln()),
                    alive: fixed(((1.0 - good_day) / (1.0 - outage)).ln()),
                    limit: fixed(threshold),
                    half_life: Some(half_life),
                    at_least,
                }
            }
        }
    }

    /// One point for a failure, and a response takes all points away.
    pub(crate) const fn consecutive(failures: u32) -> Self {
        let at_least = Duration::ZERO;
        Self { failure: 1, alive: u64::MAX, limit: failures as u64, half_life: None, at_least }
    }
}

/// Checked numbers are between 0.05 and 1,000: nothing is lost.
fn fixed(nats: f64) -> u64 {
    (nats * NAT).round() as u64
}

/// What came of the calls since the service was last known to be well: a run, which begins when the
/// score leaves zero and is forgotten when it is back there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Never above the rule's limit, so that a burst of failures is soon outweighed.
    score: u64,
    /// How many of them failed.
    pub(crate) failed: u32,
    /// How many there were.
    pub(crate) of: u32,
    /// When the first of them failed.
    first: Tick,
    /// When something was last heard.
    pub(crate) last: Tick,
    sources: Sources,
}

impl Tally {
    /// Half-way to opening without a failure: a service that has just been down is trusted less
    /// (Lucas and Crosier, "Fast initial response for CUSUM quality-control schemes", 1982).
    pub(crate) fn wary(rule: &Rule, now: Tick) -> Self {
        Self { score: rule.limit / 2, last: now, ..Self::default() }
    }

    /// A failure of a request about `resource`, or about the service as a whole.
    pub(crate) fn failure(&mut self, rule: &Rule, resource: Option<Resource>, now: Tick) {
        self.fade(rule, now);
        if self.failed == 0 {
            self.first = now;
        }
        if self.sources.failed(resource) {
            self.score = self.score.saturating_add(rule.failure).min(rule.limit);
        }
        self.failed = self.failed.saturating_add(1);
        self.of = self.of.saturating_add(1);
    }

    pub(crate) fn alive(&mut self, rule: &Rule, now: Tick) {
        self.fade(rule, now);
        self.score = self.score.saturating_sub(rule.alive);
        self.other();
        if self.is_quiet() {
            self.clear();
        }
    }

    /// A call that said nothing of the service's health.
    pub(crate) fn other(&mut self) {
        if self.failed > 0 {
            self.of = self.of.saturating_add(1);
        }
    }

    /// Whether there is no evidence at all, so that a response would change nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        self.score == 0
    }

    /// Whether there is enough evidence that the service as a whole fails, however quickly it came.
    pub(crate) fn is_full(&self, rule: &Rule) -> bool {
        self.score >= rule.limit && self.sources.are_several()
    }

    /// Whether it has also gone on for long enough.
    pub(crate) fn is_due(&self, rule: &Rule, now: Tick) -> bool {
        self.is_full(rule) && now.since(self.first) >= rule.at_least
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Halves the score for every whole half-life of silence.
    fn fade(&mut self, rule: &Rule, now: Tick) {
        let silence = now.since(self.last);
        self.last = self.last.max(now);
        let Some(half_life) = rule.half_life else { return };
        if self.is_quiet() || silence < half_life {
            return;
        }
        let halvings = silence.as_nanos() / half_life.as_nanos().max(1);
        self.score >>= halvings.min(63);
        // What is left still counts, but not as something that has gone on all the while.
        self.first = now;
        if self.is_quiet() {
            *self = Self { last: self.last, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests;
