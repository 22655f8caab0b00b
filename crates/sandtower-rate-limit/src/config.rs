use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Operation, Seed};

use crate::{Pace, alarm::Levels};

/// The shortest window: its buckets are microseconds then.
const SHORTEST_WINDOW: Duration = Duration::from_millis(1);

/// What to do about an attempt that is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Nothing: count, warn, learn, and let everything through. Limits, paces and what a server
    /// asked for only show in the [status](crate::RateLimit::status). The default.
    #[default]
    Observe,
    /// Say no and when to come back: a [`RateLimitLayer`](crate::RateLimitLayer) rejects then, a
    /// waiting room makes the caller wait.
    Enforce,
}

/// How a [`RateLimit`](crate::RateLimit) counts, warns and holds back.
///
/// | setting | default |
/// |---|---|
/// | [`window`](Config::window) | 1 h |
/// | [`mode`](Config::mode) | observe |
/// | [`limit`](Config::limit), [`limit_each`](Config::limit_each), [`pace`](Config::pace) | none |
/// | [`warn_at`](Config::warn_at) | 80 % and 100 % |
/// | [`warn_margin`](Config::warn_margin) | 5 % |
/// | [`longest_hold`](Config::longest_hold) | 60 s |
/// | [`believed_for`](Config::believed_for) | 10 min |
#[derive(Clone, Debug)]
#[must_use = "a config does nothing by itself"]
pub struct Config {
    pub(crate) name: Arc<str>,
    pub(crate) window: Duration,
    pub(crate) mode: Mode,
    pub(crate) limit_each: Option<u64>,
    pub(crate) limits: Vec<(Operation, u64)>,
    pub(crate) paces: Vec<(Operation, Pace)>,
    pub(crate) levels: Levels,
    pub(crate) longest_hold: Duration,
    pub(crate) believed: Duration,
    pub(crate) seed: Seed,
}

impl Config {
    /// Tracks, and does no more. The `name` is for rejections and logs: whose limits these are.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            window: Duration::from_secs(3600),
            mode: Mode::Observe,
            limit_each: None,
            limits: Vec::new(),
            paces: Vec::new(),
            levels: Levels { percent: vec![80, 100], margin: 5 },
            longest_hold: Duration::from_secs(60),
            believed: Duration::from_secs(600),
            seed: Seed::random(),
        }
    }

    /// The tracking of the application that this project began with: named `E2B`, 100 of each
    /// operation within an hour, observed and never enforced.
    pub fn classic() -> Self {
        Self::new("E2B").limit_each(100)
    }

    /// How far back attempts are counted; at least 1 ms.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// What to do about an attempt that is too much.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Whether it says no to what is too much, and does not only count.
    pub fn is_enforced(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Limits `operation` to `limit` attempts within the window; at least 1. Said twice, the last
    /// word counts.
    pub fn limit(mut self, operation: Operation, limit: u64) -> Self {
        self.limits.push((operation, limit));
        self
    }

    /// Limits each operation that has no limit of its own to `limit` attempts within the window; at
    /// least 1.
    pub fn limit_each(mut self, limit: u64) -> Self {
        self.limit_each = Some(limit);
        self
    }

    /// Keeps `operation` to a pace, such as a server's known limit of one a second. It holds
    /// together with the limit over the window. Said twice, the last word counts.
    pub fn pace(mut self, operation: Operation, pace: Pace) -> Self {
        self.paces.push((operation, pace));
        self
    }

    /// Warns once when the count rises to each of these parts of its limit, in percent from 1 to
    /// 100. None at all warns never.
    pub fn warn_at(mut self, percent: impl IntoIterator<Item = u8>) -> Self {
        self.levels.percent = percent.into_iter().collect();
        self.levels.percent.sort_unstable();
        self.levels.percent.dedup();
        self
    }

    /// By how many percent of the limit the count has to fall below a level before that level can
    /// warn again; less than the lowest level.
    pub fn warn_margin(mut self, percent: u8) -> Self {
        self.levels.margin = percent;
        self
    }

    /// The longest that one answer can hold an operation back, whatever its server asked for. Zero
    /// learns nothing from answers.
    pub fn longest_hold(mut self, longest: Duration) -> Self {
        self.longest_hold = longest;
        self
    }

    /// How long what was learned from answers is believed when no more of them come.
    pub fn believed_for(mut self, believed: Duration) -> Self {
        self.believed = believed;
        self
    }

    /// Where randomness comes from: what keeps the clients of a shared limit out of step.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.window < SHORTEST_WINDOW {
            return Err(ConfigError::WindowTooShort { window: self.window });
        }
        if self.limit_each == Some(0) || self.limits.iter().any(|(_, limit)| *limit == 0) {
            return Err(ConfigError::LimitOfZero);
        }
        for (operation, pace) in &self.paces {
            let operation = operation.name();
            if pace.interval().is_zero() {
                return Err(ConfigError::PaceWithoutInterval { operation });
            }
            if pace.most_at_once() == 0 {
                return Err(ConfigError::PaceWithoutBurst { operation });
            }
        }
        self.check_levels()
    }

    fn check_levels(&self) -> Result<(), ConfigError> {
        let Levels { percent, margin } = &self.levels;
        if let Some(&percent) = percent.iter().find(|percent| !(1..=100).contains(*percent)) {
            return Err(ConfigError::LevelOutOfRange { percent });
        }
        match percent.first() {
            Some(&lowest) if *margin >= lowest => {
                Err(ConfigError::MarginTooWide { margin: *margin, lowest })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> Option<u64> {
        last(&self.limits, operation).or(self.limit_each)
    }

    /// The operation of this number, if it was named here.
    pub(crate) fn operation(&self, index: u8) -> Option<Operation> {
        let limits = self.limits.iter().map(|(operation, _)| *operation);
        let mut named = limits.chain(self.paces.iter().map(|(operation, _)| *operation));
        named.find(|operation| operation.index() == usize::from(index))
    }

    pub(crate) fn pace_of(&self, operation: Operation) -> Option<Pace> {
        last(&self.paces, operation)
    }
}

fn last<T: Copy>(said: &[(Operation, T)], operation: Operation) -> Option<T> {
    let of =
        |(other, value): &(Operation, T)| (other.index() == operation.index()).then_some(*value);
    said.iter().rev().find_map(of)
}

/// What is wrong with a [`Config`], and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The window is too short to be divided.
    #[error("a window of {window:?} is too short: it takes at least 1 ms")]
    WindowTooShort {
        /// The window that was asked for.
        window: Duration,
    },
    /// A limit of 0 would let nothing through, ever.
    #[error("a limit of 0 lets nothing through: it takes at least 1, or no limit at all")]
    LimitOfZero,
    /// A pace without an interval limits nothing.
    #[error("the pace of `{operation}` has no interval: it takes at least 1 ns")]
    PaceWithoutInterval {
        /// Whose pace.
        operation: &'static str,
    },
    /// A pace with a burst of 0 would let nothing through, ever.
    #[error("the pace of `{operation}` has a burst of 0: it takes at least 1")]
    PaceWithoutBurst {
        /// Whose pace.
        operation: &'static str,
    },
    /// A level for warnings that no count reaches, or each does.
    #[error("a warning at {percent} % of a limit makes no sense: it takes 1 to 100 %")]
    LevelOutOfRange {
        /// The level that was asked for.
        percent: u8,
    },
    /// A level could never warn a second time.
    #[error("a margin of {margin} % never arms the warning at {lowest} % again: it takes less")]
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
    fn nonsense_is_rejected_with_what_would_be_right() {
        let new = || Config::new("any");
        let window = new().window(Duration::from_micros(999));
        assert_eq!(message(window), "a window of 999µs is too short: it takes at least 1 ms");
        let error = "a limit of 0 lets nothing through: it takes at least 1, or no limit at all";
        assert_eq!(message(new().limit_each(0)), error);
        assert_eq!(message(new().limit(CALL, 0)), error);
        let error = "the pace of `call` has no interval: it takes at least 1 ns";
        assert_eq!(message(new().pace(CALL, Pace::every(Duration::ZERO))), error);
        let error = "the pace of `call` has a burst of 0: it takes at least 1";
        assert_eq!(message(new().pace(CALL, Pace::every(Duration::from_secs(1)).burst(0))), error);
        let error = "a warning at 120 % of a limit makes no sense: it takes 1 to 100 %";
        assert_eq!(message(new().warn_at([80, 120])), error);
        let error = "a margin of 80 % never arms the warning at 80 % again: it takes less";
        assert_eq!(message(new().warn_margin(80)), error);
    }

    #[test]
    fn the_last_word_on_an_operation_counts_and_the_others_keep_the_common_limit() {
        let other = Operation::new(1, "other");
        let config = Config::new("any").limit_each(9).limit(CALL, 1).limit(CALL, 2);
        assert_eq!(config.limit_of(CALL), Some(2));
        assert_eq!(config.limit_of(other), Some(9));
    }
}
