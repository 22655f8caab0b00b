use std::time::Duration;

use sandtower_core::Tick;

/// Arrivals a second, each forgotten exponentially.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    at: Tick,
}

/// The time after which an arrival has faded to 1/e. A minute of traffic at 0.5/s has 30 arrivals, so the
/// estimate is off by 13 % (one standard deviation).
const MEMORY: Duration = Duration::from_secs(60);

impl Rate {
    pub(crate) fn new(now: Tick) -> Self {
        Self { per_second: 0.0, at: now }
    }

    pub(crate) fn arrived(&mut self, now: Tick) {
        self.per_second = self.at(now) + 1.0 / MEMORY.as_secs_f64();
        self.at = self.at.max(now);
    }

    pub(crate) fn at(&self, now: Tick) -> f64 {
        self.per_second * (-now.since(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_rate_and_forgets_it() {
        let mut rate = Rate::new(Tick::ZERO);
        let mut now = Tick::ZERO;
        for _ in 0..600 {
            now += Duration::from_millis(500);
            rate.arrived(now);
        }
        assert!((1.9..2.1).contains(&rate.at(now)), "{}", rate.at(now));
        assert!(rate.at(now + MEMORY * 5) < 0.02);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_is_harmless() {
        let mut rate = Rate::new(Tick::from_nanos(10));
        rate.arrived(Tick::ZERO);
        rate.arrived(Tick::ZERO);
        assert!(rate.at(Tick::ZERO).is_finite());
    }
}
