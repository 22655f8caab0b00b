use std::collections::VecDeque;
use std::time::Duration;

use sandtower_core::Tick;

/// The largest stock that recent demand would have used up, forgotten with a half-life.
///
/// Each arrival orders a replacement, which comes after the lead time and no faster than creations are
/// allowed. The number of replacements that are under way at an arrival, its own included, is the stock that
/// would have served it.
#[derive(Clone, Debug)]
pub(crate) struct Peak {
    /// When each replacement would be there, in order.
    under_way: VecDeque<Tick>,
    /// When the next replacement may be ordered, without the allowed burst.
    next: Tick,
    peak: f64,
    at: Tick,
}

impl Peak {
    pub(crate) fn new(now: Tick) -> Self {
        Self { under_way: VecDeque::new(), next: now, peak: 0.0, at: now }
    }

    /// One arrival. `pace` is the interval of creations, of which `burst` may be sent at once; no more than
    /// `most` are counted.
    pub(crate) fn arrived(
        &mut self,
        (lead, pace, burst): (Duration, Duration, u32),
        half_life: Duration,
        most: u32,
        now: Tick,
    ) {
        while self.under_way.front().is_some_and(|there| *there <= now) {
            self.under_way.pop_front();
        }
        self.next = self.next.max(now) + pace;
        let allowed = pace * burst.max(1);
        let sent = now + self.next.since(now).saturating_sub(allowed);
        if self.under_way.len() < most as usize {
            self.under_way.push_back(sent + lead);
        }
        self.peak = self.at(half_life, now).max(self.under_way.len() as f64);
        self.at = self.at.max(now);
    }

    pub(crate) fn at(&self, half_life: Duration, now: Tick) -> f64 {
        let half_lives = now.since(self.at).as_secs_f64() / half_life.as_secs_f64().max(1e-9);
        self.peak * (-half_lives).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: Duration = Duration::from_secs(2);
    const PACE: Duration = Duration::from_secs(1);
    const HALF_LIFE: Duration = Duration::from_secs(900);

    fn after(arrivals: &[u64]) -> Peak {
        let mut peak = Peak::new(Tick::ZERO);
        for second in arrivals {
            let now = Tick::ZERO + Duration::from_secs(*second);
            peak.arrived((LEAD, PACE, 5), HALF_LIFE, 20, now);
        }
        peak
    }

    #[test]
    fn a_burst_counts_whole_and_separate_arrivals_count_once() {
        assert_eq!(after(&[0; 7]).at(HALF_LIFE, Tick::ZERO), 7.0);
        assert_eq!(after(&[0, 10, 20]).at(HALF_LIFE, Tick::ZERO + PACE * 20).round(), 1.0);
        assert_eq!(after(&[0; 100]).at(HALF_LIFE, Tick::ZERO), 20.0, "bounded");
    }

    #[test]
    fn creations_that_have_to_wait_for_the_rate_count_for_longer() {
        // Of 12 at once, 5 are sent at once; 3 s later, 4 are still waiting and 2 under way.
        let mut peak = after(&[0; 12]);
        peak.peak = 0.0;
        peak.arrived((LEAD, PACE, 5), HALF_LIFE, 20, Tick::ZERO + PACE * 3);
        assert_eq!(peak.peak, 7.0);
    }

    #[test]
    fn it_halves() {
        let peak = after(&[0; 8]);
        assert_eq!(peak.at(HALF_LIFE, Tick::ZERO + HALF_LIFE), 4.0);
        assert!(peak.at(HALF_LIFE, Tick::ZERO + HALF_LIFE * 6) < 0.5);
    }
}
