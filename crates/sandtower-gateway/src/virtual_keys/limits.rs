use serde::{Deserialize, Serialize};

use super::KeyError;

/// The most creations a minute that can be set: the times of that many are kept for each key.
pub(super) const MOST_PER_MINUTE: u64 = 1_000;
/// The most of anything else: no service grants more, and sums stay exact.
const MOST: u64 = 1_000_000_000;

/// What the callers of a key may use up. What is left out has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Sandboxes that run at once, those included that are being created.
    pub concurrent_sandboxes: Option<u64>,
    /// Creations within any 60 seconds.
    pub creations_per_minute: Option<u64>,
    /// Creations of one day, which begins at 00:00 UTC.
    pub creations_per_day: Option<u64>,
    /// The seconds that sandboxes run on one day, which begins at 00:00 UTC, all sandboxes together.
    pub sandbox_seconds_per_day: Option<u64>,
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), KeyError> {
        for (field, value, most) in [
            ("limits.concurrent_sandboxes", self.concurrent_sandboxes, MOST),
            ("limits.creations_per_minute", self.creations_per_minute, MOST_PER_MINUTE),
            ("limits.creations_per_day", self.creations_per_day, MOST),
            ("limits.sandbox_seconds_per_day", self.sandbox_seconds_per_day, MOST),
        ] {
            if value.is_some_and(|value| value > most) {
                let right = format!("it must be at most {most}, or null for no limit");
                return Err(KeyError::field(field, right));
            }
        }
        Ok(())
    }
}

/// Which of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    ConcurrentSandboxes,
    CreationsPerMinute,
    CreationsPerDay,
    SandboxSecondsPerDay,
}

impl Limit {
    /// The name for logs.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::ConcurrentSandboxes => "concurrent_sandboxes",
            Self::CreationsPerMinute => "creations_per_minute",
            Self::CreationsPerDay => "creations_per_day",
            Self::SandboxSecondsPerDay => "sandbox_seconds_per_day",
        }
    }
}

/// What is used of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Used {
    /// What is used now.
    pub used: u64,
    /// What may be used; `None`: there is no limit.
    pub limit: Option<u64>,
    /// The part of the limit that is used: 1 is all of it, more than all of it is possible after a limit
    /// was lowered, and for seconds of sandboxes that run on. `None`: there is no limit.
    pub share: Option<f64>,
    /// From 80 % on.
    pub warning: bool,
}

/// From this part of a limit on, its owner is warned.
const WARN_FROM: f64 = 0.8;

impl Used {
    pub(super) fn new(used: u64, limit: Option<u64>) -> Self {
        let share = limit.map(|limit| match limit {
            0 => 1.0,
            // Both are far below 2^53.
            limit => used as f64 / limit as f64,
        });
        Self { used, limit, share, warning: share.is_some_and(|share| share >= WARN_FROM) }
    }
}

/// What is used of each limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Sandboxes that run, those included that are being created.
    pub concurrent_sandboxes: Used,
    /// Creations of the last 60 seconds.
    pub creations_per_minute: Used,
    /// Creations since 00:00 UTC.
    pub creations_per_day: Used,
    /// Seconds that sandboxes ran since 00:00 UTC.
    pub sandbox_seconds_per_day: Used,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_begins_at_80_percent() {
        for (used, limit, share, warning) in [
            (0, Some(10), Some(0.0), false),
            (7, Some(10), Some(0.7), false),
            (8, Some(10), Some(0.8), true),
            (12, Some(10), Some(1.2), true),
            (0, Some(0), Some(1.0), true),
            (5, None, None, false),
        ] {
            let shown = Used::new(used, limit);
            assert_eq!((shown.share, shown.warning), (share, warning), "{used} of {limit:?}");
        }
    }
}
