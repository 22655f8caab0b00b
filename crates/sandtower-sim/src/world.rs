//! What the simulated service is like: the causes of its delays and failures.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{error::InvalidConfig, seconds};

/// The constants of a simulated E2B.
///
/// They are causes, never outcomes: what a caller sees follows from them and from how the caller
/// behaves. In serialized form durations are decimal seconds, and a constant that is left out has
/// its value from [`World::calm`].
///
/// # Creation
///
/// With `n` creations in flight when one arrives (itself included, and those whose caller has gone
/// away: the work goes on), the load is `max(1, n / create_parallel)` and
///
/// - latency = `create_median` x e^(`create_spread` x N(0, 1)) x load^`create_exponent`,
/// - probability of failure = 1 - (1 - `create_failure`) x e^(-`overload_failure` x (load - 1)).
///
/// A creation that fails does so after its latency, as a placement does that was tried on several
/// nodes. One that lasts longer than `api_deadline` gets the balancer's 504; the work
/// goes on for up to `late_work`, and may still commit in that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// The latency of half of all creations while no more than `create_parallel` are in flight.
    #[serde(with = "seconds")]
    pub create_median: Duration,
    /// How far creations spread around the median: the sigma of a log-normal distribution.
    pub create_spread: f64,
    /// Creations that the cluster works on at full speed.
    pub create_parallel: NonZeroU32,
    /// How steeply latency grows with load beyond `create_parallel`; 1 is a fair queue.
    pub create_exponent: f64,
    /// Probability that a creation fails whatever the load.
    pub create_failure: f64,
    /// How fast the probability of failure grows with load beyond `create_parallel`.
    pub overload_failure: f64,
    /// Share of failures that are 500 `sandbox_create_failed`, relative to the other two shares.
    pub create_failed_share: f64,
    /// Share of failures that are 503 `sandbox_capacity_unavailable`.
    pub capacity_share: f64,
    /// Share of failures that are 504 `sandbox_placement_timeout`.
    pub placement_timeout_share: f64,
    /// Probability that a creation that timed out at `api_deadline` commits all the same.
    pub late_commit: f64,
    /// Probability that a created sandbox is a zombie: listed as running, its envd never responds.
    pub zombie: f64,
    /// Sandboxes that the cluster holds, of all teams; creations beyond are 503
    /// `sandbox_capacity_unavailable`.
    pub slots: NonZeroU32,
    /// When a request to the control plane times out, and the balancer responds in its place.
    #[serde(with = "seconds")]
    pub api_deadline: Duration,
    /// How long a creation is still worked on after `api_deadline`, before it is dropped.
    #[serde(with = "seconds")]
    pub late_work: Duration,
    /// Latency of every other call of the control plane.
    #[serde(with = "seconds")]
    pub api_latency: Duration,
    /// Latency of a response from inside a sandbox, up to its head.
    #[serde(with = "seconds")]
    pub envd_latency: Duration,
    /// What a command costs before its first output: a login shell starts.
    #[serde(with = "seconds")]
    pub command_latency: Duration,
    /// Probability that a connection is refused: nothing was processed.
    pub connection_refused: f64,
    /// Probability that a connection is reset before the request was processed.
    pub connection_reset: f64,
    /// Probability that a connection is reset after the request was processed: its response is lost.
    pub response_lost: f64,
}

impl World {
    /// Fast, even, and nothing fails by itself.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            create_median: Duration::from_millis(100),
            create_spread: 0.1,
            create_parallel: at_least_one(1_000),
            create_exponent: 1.0,
            create_failure: 0.0,
            overload_failure: 0.0,
            create_failed_share: 6.0,
            capacity_share: 3.0,
            placement_timeout_share: 1.0,
            late_commit: 0.5,
            zombie: 0.0,
            slots: at_least_one(10_000),
            api_deadline: Duration::from_secs(70),
            late_work: Duration::from_secs(20),
            api_latency: Duration::from_millis(2),
            envd_latency: Duration::from_millis(1),
            command_latency: Duration::from_millis(5),
            connection_refused: 0.0,
            connection_reset: 0.0,
            response_lost: 0.0,
        }
    }

    /// A cluster that starts two sandboxes at a time and collapses when asked for more.
    ///
    /// Two creations in flight take about three seconds and hardly ever fail. Six take half a
    /// minute each and nearly always fail, so that six callers who retry blindly keep it there.
    #[must_use]
    pub fn stress() -> Self {
        Self {
            create_median: Duration::from_secs(3),
            create_spread: 0.25,
            create_parallel: at_least_one(2),
            create_exponent: 2.0,
            create_failure: 0.005,
            overload_failure: 2.0,
            zombie: 0.01,
            slots: at_least_one(200),
            api_latency: Duration::from_millis(40),
            envd_latency: Duration::from_millis(10),
            command_latency: Duration::from_millis(200),
            ..Self::calm()
        }
    }

    /// Whether every constant makes sense.
    ///
    /// # Errors
    ///
    /// Names the first constant that does not: a probability outside 0..=1, any other number that
    /// is negative or not finite, or shares of failures that are all 0.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let mut world = self.clone();
        for (name, constant) in CONSTANTS {
            let (value, expected) = match constant {
                Probability(value) => (*value(&mut world), "a probability, 0 to 1"),
                Number(value) => (*value(&mut world), "a number, 0 or more"),
                Time(_) | Count(_) => continue,
            };
            let most = if matches!(constant, Probability(_)) { 1.0 } else { f64::MAX };
            if !(0.0..=most).contains(&value) {
                return Err(InvalidConfig::new(format!("{name} is {value}, not {expected}")));
            }
        }
        let shares = self.create_failed_share + self.capacity_share + self.placement_timeout_share;
        if shares <= 0.0 {
            return Err(InvalidConfig::new("the shares of failures are all 0"));
        }
        Ok(())
    }

    /// This world with one constant halved or doubled, for each constant in turn.
    ///
    /// The name tells which, as `create_median / 2` or `create_median * 2`. A probability stays at
    /// most 1 and a count at least 1; a constant that is 0 stays 0, so it gives two equal worlds.
    pub fn variations(&self) -> impl Iterator<Item = (String, World)> + '_ {
        CONSTANTS.iter().flat_map(move |(name, constant)| {
            [("/", 0.5), ("*", 2.0)].into_iter().map(move |(sign, factor)| {
                let mut world = self.clone();
                constant.scale(&mut world, factor);
                (format!("{name} {sign} 2"), world)
            })
        })
    }
}

impl Default for World {
    fn default() -> Self {
        Self::calm()
    }
}

/// A constant of a world, by its kind.
enum Constant {
    Time(fn(&mut World) -> &mut Duration),
    Count(fn(&mut World) -> &mut NonZeroU32),
    Number(fn(&mut World) -> &mut f64),
    Probability(fn(&mut World) -> &mut f64),
}

use Constant::{Count, Number, Probability, Time};

const CONSTANTS: &[(&str, Constant)] = &[
    ("create_median", Time(|w| &mut w.create_median)),
    ("create_spread", Number(|w| &mut w.create_spread)),
    ("create_parallel", Count(|w| &mut w.create_parallel)),
    ("create_exponent", Number(|w| &mut w.create_exponent)),
    ("create_failure", Probability(|w| &mut w.create_failure)),
    ("overload_failure", Number(|w| &mut w.overload_failure)),
    ("create_failed_share", Number(|w| &mut w.create_failed_share)),
    ("capacity_share", Number(|w| &mut w.capacity_share)),
    ("placement_timeout_share", Number(|w| &mut w.placement_timeout_share)),
    ("late_commit", Probability(|w| &mut w.late_commit)),
    ("zombie", Probability(|w| &mut w.zombie)),
    ("slots", Count(|w| &mut w.slots)),
    ("api_deadline", Time(|w| &mut w.api_deadline)),
    ("late_work", Time(|w| &mut w.late_work)),
    ("api_latency", Time(|w| &mut w.api_latency)),
    ("envd_latency", Time(|w| &mut w.envd_latency)),
    ("command_latency", Time(|w| &mut w.command_latency)),
    ("connection_refused", Probability(|w| &mut w.connection_refused)),
    ("connection_reset", Probability(|w| &mut w.connection_reset)),
    ("response_lost", Probability(|w| &mut w.response_lost)),
];

impl Constant {
    fn scale(&self, world: &mut World, by: f64) {
        match self {
            Time(of) => {
                let time = of(world);
                let scaled = Duration::try_from_secs_f64(time.as_secs_f64() * by);
                *time = scaled.unwrap_or(Duration::MAX);
            }
            Count(of) => {
                let count = of(world);
                // A float-to-int cast saturates, which is the bound wanted here.
                *count = at_least_one((f64::from(count.get()) * by) as u32);
            }
            Number(of) => *of(world) *= by,
            Probability(of) => *of(world) = (*of(world) * by).min(1.0),
        }
    }
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_constant_is_varied() {
        let serde_json::Value::Object(fields) = serde_json::to_value(World::stress()).unwrap()
        else {
            panic!("a world is a table");
        };
        let named: BTreeSet<_> = CONSTANTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, fields.keys().map(String::as_str).collect());
        assert_eq!(World::stress().variations().count(), 2 * CONSTANTS.len());
    }

    #[test]
    fn a_variation_halves_or_doubles_its_constant_and_no_other() {
        let constants = |world: &World| -> BTreeMap<String, f64> {
            serde_json::from_value(serde_json::to_value(world).unwrap()).unwrap()
        };
        // No constant is 0, and each can be halved and doubled within its bounds.
        let world = World {
            create_parallel: at_least_one(4),
            late_commit: 0.25,
            zombie: 0.25,
            connection_refused: 0.25,
            connection_reset: 0.25,
            response_lost: 0.25,
            ..World::stress()
        };
        let before = constants(&world);
        for (what, varied) in world.variations() {
            let (name, factor) = what.rsplit_once(' ').unwrap();
            let (name, sign) = name.rsplit_once(' ').unwrap();
            let factor = if sign == "*" { factor.parse() } else { factor.parse().map(f64::recip) };
            let mut expected = before.clone();
            *expected.get_mut(name).unwrap() *= factor.unwrap();
            assert_eq!(constants(&varied), expected, "{what}");
        }
    }

    #[test]
    fn the_worlds_that_ship_and_their_variations_make_sense() {
        for world in [World::calm(), World::stress()] {
            assert_eq!(world.check(), Ok(()));
            for (name, varied) in world.variations() {
                assert_eq!(varied.check(), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn a_constant_that_is_invalid_is_named() {
        let refused = World { zombie: 1.5, ..World::calm() }.check().unwrap_err();
        assert_eq!(refused.to_string(), "zombie is 1.5, not a probability, 0 to 1");
        assert!(World { create_spread: f64::NAN, ..World::calm() }.check().is_err());
        assert!(World { late_commit: f64::NAN, ..World::calm() }.check().is_err());
    }

    #[test]
    fn durations_are_read_as_seconds_and_the_rest_is_calm() {
        let read: World = serde_json::from_str(r#"{"create_median": 1.5}"#).unwrap();
        let expected = World { create_median: Duration::from_millis(1500), ..World::calm() };
        assert_eq!(read, expected);
        assert!(serde_json::from_str::<World>(r#"{"create_median": -1}"#).is_err());
        assert!(serde_json::from_str::<World>(r#"{"create_medain": 1}"#).is_err());
    }
}
