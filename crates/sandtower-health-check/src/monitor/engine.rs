use sandtower_core::Tick;
use serde::Serialize;

/// The health of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// The last probe passed, and the service was not down before. Also before the first probe has ended.
    #[default]
    Healthy,
    /// The last probes failed, but fewer in a row than make it down.
    Degraded,
    /// Enough probes failed in a row, and not enough passed since.
    Down,
}

impl Health {
    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Derives the health from the results of probes: pure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine {
    pub(crate) health: Health,
    /// Since when; `None`: from the start.
    pub(crate) since: Option<Tick>,
    fall: u32,
    rise: u32,
    failures: u32,
    successes: u32,
    was_down: bool,
}

impl Engine {
    pub(crate) fn new(fall: u32, rise: u32) -> Self {
        let health = Health::Healthy;
        Self { health, since: None, fall, rise, failures: 0, successes: 0, was_down: false }
    }

    /// A probe has ended. Returns the previous state if it changed.
    pub(crate) fn probed(&mut self, passed: bool, now: Tick) -> Option<Health> {
        let next = if passed { self.passed() } else { self.failed() };
        if next == self.health {
            return None;
        }
        self.since = Some(now);
        Some(std::mem::replace(&mut self.health, next))
    }

    fn passed(&mut self) -> Health {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if !self.was_down || self.successes >= self.rise {
            self.was_down = false;
            return Health::Healthy;
        }
        Health::Down
    }

    fn failed(&mut self) -> Health {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        if self.was_down || self.failures >= self.fall {
            self.was_down = true;
            return Health::Down;
        }
        Health::Degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Degraded, Down, Healthy};

    /// The state after each probe: `+` passed, `-` failed.
    fn states(probes: &str) -> Vec<Health> {
        let mut engine = Engine::new(3, 2);
        let mut state = |probe| {
            let before = engine.health;
            let changed = engine.probed(probe == '+', Tick::ZERO);
            assert_eq!(changed.is_some(), before != engine.health);
            engine.health
        };
        probes.chars().map(&mut state).collect()
    }

    #[test]
    fn it_falls_after_enough_failures_in_a_row_and_is_degraded_before() {
        assert_eq!(states("+--+--"), [Healthy, Degraded, Degraded, Healthy, Degraded, Degraded]);
        assert_eq!(states("---"), [Degraded, Degraded, Down]);
    }

    #[test]
    fn it_rises_after_enough_successes_in_a_row() {
        assert_eq!(states("---+-++")[3..], [Down, Down, Down, Healthy]);
        assert_eq!(states("---++-")[4..], [Healthy, Degraded]);
    }
}
