//! When stock may be created: the rate of creations, and what failures do.

use std::time::Duration;

use sandtower_core::Tick;

/// Paces creations: one each interval, and a burst after a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    every: Duration,
    burst: u32,
    /// When the next one would be due without the burst.
    next: Tick,
}

impl Pace {
    pub(crate) fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, next: Tick::ZERO }
    }

    /// When the next creation may be sent; not after `now`: at once.
    pub(crate) fn due(&self, now: Tick) -> Tick {
        let ahead = self.every * self.burst.saturating_sub(1);
        now + self.next.since(now).saturating_sub(ahead)
    }

    pub(crate) fn sent(&mut self, now: Tick) {
        self.next = self.next.max(now) + self.every;
    }
}

/// Failures in a row of the creations of one shape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Tick,
}

/// After so many failures in a row an alert is raised, and creations are tried rarely.
pub(crate) const TRIES: u32 = 3;
const FIRST: Duration = Duration::from_secs(1);
const SUSPENDED: Duration = Duration::from_secs(30);
const MOST: Duration = Duration::from_secs(600);

impl Backoff {
    /// Returns whether this failure is the one that raises the alert.
    pub(crate) fn failed(&mut self, now: Tick) -> bool {
        self.failures = self.failures.saturating_add(1);
        let pause = match self.failures {
            few @ 0..TRIES => FIRST * (1 << few.saturating_sub(1)),
            many => (SUSPENDED * (1 << (many - TRIES).min(10))).min(MOST),
        };
        self.until = self.until.max(now + pause);
        self.failures == TRIES
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the last creation failed: then one at a time is tried.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether creations are suspended after an alert.
    pub(crate) fn is_suspended(&self) -> bool {
        self.failures >= TRIES
    }

    /// Before that nothing is created.
    pub(crate) fn until(&self) -> Tick {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_may_be_sent_at_once_and_then_one_each_interval() {
        let mut pace = Pace::new(SECOND, 3);
        let now = Tick::ZERO + SECOND * 100;
        for _ in 0..3 {
            assert_eq!(pace.due(now), now);
            pace.sent(now);
        }
        assert_eq!(pace.due(now), now + SECOND);
        pace.sent(now + SECOND);
        assert_eq!(pace.due(now + SECOND), now + SECOND * 2);
        assert_eq!(pace.due(now + SECOND * 60), now + SECOND * 60);
    }

    #[test]
    fn after_three_failures_it_is_suspended_for_longer_and_longer() {
        let mut backoff = Backoff::default();
        let alerts: Vec<_> = (0..20).map(|_| backoff.failed(Tick::ZERO)).collect();
        assert_eq!(alerts.iter().position(|alert| *alert), Some(2));
        assert_eq!(alerts.iter().filter(|alert| **alert).count(), 1);
        assert!(backoff.is_suspended());
        assert_eq!(backoff.until(), Tick::ZERO + MOST);
        backoff.succeeded();
        assert!(!backoff.is_failing() && backoff.until() == Tick::ZERO);
    }
}
