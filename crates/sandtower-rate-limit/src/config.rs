use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::settings::duration;
use sandtower_core::{Operation, Seed};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Pace, alarm::Levels};

/// The shortest window: its buckets are microseconds then.
const SHORTEST_WINDOW: Duration = Duration::from_millis(1);

/// How a [`RateLimit`](crate::RateLimit) counts, warns and holds back.
///
/// | setting | default |
/// |---|---|
/// | [`window`](Config::window) | 1 h |
/// | [`shadow`](Config::shadow) | no |
/// | [`limit`](Config::limit), [`limit_each`](Config::limit_each), [`pace`](Config::pace) | none |
/// | [`exempt`](Config::exempt) | none |
/// | [`warn_at`](Config::warn_at) | 80 % and 100 % |
/// | [`warn_margin`](Config::warn_margin) | 5 % |
/// | [`longest_hold`](Config::longest_hold) | 60 s |
/// | [`believed_for`](Config::believed_for) | 10 min |
///
/// What is set for one operation is kept by its [name](Operation::name).
///
/// No setter panics or overflows, whatever duration it is given: what is invalid is an error of
/// [`RateLimit::new`](crate::RateLimit::new).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a config does nothing by itself"]
pub struct Config {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    #[serde(with = "duration")]
    pub(crate) window: Duration,
    shadow: bool,
    pub(crate) limit_each: Option<u64>,
    limits: BTreeMap<String, u64>,
    paces: BTreeMap<String, Pace>,
    exempt: BTreeSet<String>,
    #[serde(deserialize_with = "rising")]
    warn_at: Vec<u8>,
    warn_margin: u8,
    #[serde(with = "duration")]
    pub(crate) longest_hold: Duration,
    #[serde(with = "duration")]
    pub(crate) believed_for: Duration,
    #[serde(skip)]
    pub(crate) seed: Seed,
}

impl Config {
    /// No limits but what the server tells, which is enforced. The `name` is for rejections and logs:
    /// whose limits these are.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            window: Duration::from_secs(3600),
            shadow: false,
            limit_each: None,
            limits: BTreeMap::new(),
            paces: BTreeMap::new(),
            exempt: BTreeSet::new(),
            warn_at: vec![80, 100],
            warn_margin: 5,
            longest_hold: Duration::from_secs(60),
            believed_for: Duration::from_secs(600),
            seed: Seed::random(),
        }
    }

    /// The widespread tracking: named `E2B`, 100 of each operation within an hour, in
    /// [shadow mode](Config::shadow).
    pub fn classic() -> Self {
        Self::new("E2B").shadow(true).limit_each(100)
    }

    /// How far back attempts are counted; at least 1 ms.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Shadow mode: counts, warns, learns and reports which attempts it would have rejected, and lets
    /// every attempt through. For trying out a limit before it may reject anything.
    ///
    /// Limits, paces and what a server asked for only show in the
    /// [status](crate::RateLimit::status), which says that they are not enforced. Default: no; an
    /// attempt beyond a limit is then rejected by a [`RateLimitLayer`](crate::RateLimitLayer), and
    /// waits in admission control. [`set_shadow`](crate::RateLimit::set_shadow) changes it at run
    /// time.
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// Whether it begins in [shadow mode](Config::shadow).
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Limits `operation` to `limit` attempts within the window; at least 1. The last call for an
    /// operation wins.
    pub fn limit(mut self, operation: Operation, limit: u64) -> Self {
        self.limits.insert(operation.name().to_owned(), limit);
        self
    }

    /// Limits each operation that has no limit of its own to `limit` attempts within the window; at
    /// least 1.
    pub fn limit_each(mut self, limit: u64) -> Self {
        self.limit_each = Some(limit);
        self
    }

    /// Keeps `operation` to a pace, such as a server's known limit of one a second, together with
    /// the limit over the window. The last call for an operation wins.
    pub fn pace(mut self, operation: Operation, pace: Pace) -> Self {
        self.paces.insert(operation.name().to_owned(), pace);
        self
    }

    /// Never holds `operation` back: for what gives something back, such as ending
    /// a sandbox. It is counted and warned of all the same.
    pub fn exempt(mut self, operation: Operation) -> Self {
        self.exempt.insert(operation.name().to_owned());
        self
    }

    /// Warns once when the count rises to each of these parts of its limit, in percent from 1 to
    /// 100. Without any there are no warnings.
    pub fn warn_at(mut self, percent: impl IntoIterator<Item = u8>) -> Self {
        self.warn_at = BTreeSet::from_iter(percent).into_iter().collect();
        self
    }

    /// By how many percent of the limit the count has to fall below a level before that level can
    /// warn again; less than the lowest level.
    pub fn warn_margin(mut self, percent: u8) -> Self {
        self.warn_margin = percent;
        self
    }

    /// The longest that one response can hold a scope back, whatever its server asked for. Zero
    /// learns nothing from responses.
    pub fn longest_hold(mut self, longest: Duration) -> Self {
        self.longest_hold = longest;
        self
    }

    /// How long a pace that was learned is kept when no more responses tell of it. A hold stands
    /// until its end.
    pub fn believed_for(mut self, believed_for: Duration) -> Self {
        self.believed_for = believed_for;
        self
    }

    /// Where randomness comes from: what keeps the clients of a shared limit out of step. Fix it to
    /// repeat a run.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Takes the name and seed from `base`: a file does not set them.
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), seed: base.seed.clone(), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.window < SHORTEST_WINDOW {
            return Err(ConfigError::WindowTooShort { window: self.window });
        }
        if self.limit_each == Some(0) || self.limits.values().any(|limit| *limit == 0) {
            return Err(ConfigError::LimitOfZero);
        }
        for (operation, pace) in &self.paces {
            let operation = || operation.clone();
            if pace.interval().is_zero() {
                return Err(ConfigError::PaceWithoutInterval { operation: operation() });
            }
            if pace.most_at_once() == 0 {
                return Err(ConfigError::PaceWithoutBurst { operation: operation() });
            }
        }
        self.check_levels()
    }

    fn check_levels(&self) -> Result<(), ConfigError> {
        let Levels { percent, margin } = self.levels();
        if let Some(&percent) = percent.iter().find(|percent| !(1..=100).contains(*percent)) {
            return Err(ConfigError::LevelOutOfRange { percent });
        }
        match percent.first() {
            Some(&lowest) if margin >= lowest => Err(ConfigError::MarginTooWide { margin, lowest }),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_exempt(&self, operation: Operation) -> bool {
        self.exempt.contains(operation.name())
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> Option<u64> {
        self.limits.get(operation.name()).copied().or(self.limit_each)
    }

    pub(crate) fn levels(&self) -> Levels<'_> {
        Levels { percent: &self.warn_at, margin: self.warn_margin }
    }

    pub(crate) fn pace_of(&self, operation: Operation) -> Option<Pace> {
        self.paces.get(operation.name()).copied()
    }
}

fn rising<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    Ok(BTreeSet::deserialize(from)?.into_iter().collect())
}

/// What is wrong with a [`Config`], and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The window is too short to be divided.
    #[error("`window` is {window:?}, and must be at least 1 ms")]
    WindowTooShort {
        /// The window that was asked for.
        window: Duration,
    },
    /// A limit of 0 would let nothing through, ever.
    #[error("a limit is 0, which lets nothing through: it must be at least 1, or left out")]
    LimitOfZero,
    /// A pace without an interval limits nothing.
    #[error("the pace of `{operation}` has an interval of 0, and must have at least 1 ns")]
    PaceWithoutInterval {
        /// Whose pace.
        operation: String,
    },
    /// A pace with a burst of 0 would let nothing through, ever.
    #[error("the pace of `{operation}` has a burst of 0, and must have at least 1")]
    PaceWithoutBurst {
        /// Whose pace.
        operation: String,
    },
    /// A level for warnings that no count reaches, or each does.
    #[error("`warn_at` has {percent} %, and must have from 1 to 100 %")]
    LevelOutOfRange {
        /// The level that was asked for.
        percent: u8,
    },
    /// A level could never warn a second time.
    #[error("`warn_margin` is {margin} %, and must be less than the lowest level, {lowest} %")]
    MarginTooWide {
        /// The margin that was asked for.
        margin: u8,
        /// The lowest level.
        lowest: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Operation = Operation::CALL;

    fn message(config: Config) -> String {
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_presets_are_valid() {
        assert_eq!(Config::classic().check(), Ok(()));
        assert_eq!(Config::new("any").check(), Ok(()));
        assert_eq!(Config::new("any").warn_at([]).warn_margin(100).check(), Ok(()));
    }

    #[test]
    fn what_is_invalid_is_rejected_with_what_would_be_right() {
        let new = || Config::new("any");
        let window = new().window(Duration::from_micros(999));
        assert_eq!(message(window), "`window` is 999µs, and must be at least 1 ms");
        let error = "a limit is 0, which lets nothing through: it must be at least 1, or left out";
        assert_eq!(message(new().limit_each(0)), error);
        assert_eq!(message(new().limit(CALL, 0)), error);
        let error = "the pace of `call` has an interval of 0, and must have at least 1 ns";
        assert_eq!(message(new().pace(CALL, Pace::every(Duration::ZERO))), error);
        let error = "the pace of `call` has a burst of 0, and must have at least 1";
        assert_eq!(message(new().pace(CALL, Pace::every(Duration::from_secs(1)).burst(0))), error);
        let error = "`warn_at` has 120 %, and must have from 1 to 100 %";
        assert_eq!(message(new().warn_at([80, 120])), error);
        let error = "`warn_margin` is 80 %, and must be less than the lowest level, 80 %";
        assert_eq!(message(new().warn_margin(80)), error);
    }

    #[test]
    fn the_last_limit_of_an_operation_wins_and_the_others_keep_the_common_one() {
        let other = Operation::new(1, "other");
        let config = Config::new("any").limit_each(9).limit(CALL, 1).limit(CALL, 2);
        assert_eq!(config.limit_of(CALL), Some(2));
        assert_eq!(config.limit_of(other), Some(9));
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was_and_what_no_file_has_is_inherited() {
        for config in [
            Config::classic(),
            Config::new("any")
                .window(Duration::MAX)
                .limit(CALL, u64::MAX)
                .pace(CALL, Pace::every(Duration::from_micros(1)).burst(3))
                .pace(Operation::new(1, "other"), Pace::every(Duration::MAX))
                .exempt(CALL)
                .shadow(true)
                .warn_at([])
                .warn_margin(9)
                .longest_hold(Duration::ZERO)
                .believed_for(Duration::MAX),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: Config = serde_json::from_str(&text).unwrap();
            let again = again.inherit(&config);
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }

    #[test]
    fn levels_are_read_in_any_order_and_a_pace_with_or_without_a_burst() {
        let mut all = serde_json::to_value(Config::new("any")).unwrap();
        all["warn_at"] = serde_json::json!([90, 50, 90]);
        all["paces"] = serde_json::json!({"call": "2s", "other": {"every": "1ms", "burst": 4}});
        let config: Config = serde_json::from_value(all.clone()).unwrap();
        assert_eq!(config.warn_at, [50, 90]);
        assert_eq!(config.pace_of(CALL), Some(Pace::every(Duration::from_secs(2))));
        let other = Operation::new(9, "other");
        assert_eq!(config.pace_of(other), Some(Pace::every(Duration::from_millis(1)).burst(4)));
        for wrong in [serde_json::json!(5), serde_json::json!({"every": "1s"})] {
            all["paces"]["call"] = wrong;
            let error = serde_json::from_value::<Config>(all.clone()).unwrap_err().to_string();
            assert!(error.contains("expected a time such as"), "{error}");
        }
    }
}
