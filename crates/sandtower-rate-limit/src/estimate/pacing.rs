use std::time::Duration;

use sandtower_core::{Allowance, Completion, Tick};

/// A 429 multiplies the rate by this: beta of CUBIC (RFC 9438, 4.6) and of the AWS SDKs' adaptive
/// retries.
const DECREASE: f64 = 0.7;

/// What one success adds to the rate, as a part of the whole: of the server's own rate where the
/// headers tell it, else of the rate at the last 429. A cut is made good by 30 successes, so that
/// about one attempt in 30 finds the edge anew.
const INCREASE: f64 = 0.01;

/// The least burst of which what remains says enough to steer by.
pub(super) const STEERABLE: u64 = 3;

/// How far one response moves the next attempt, in emission intervals for each unit that remains
/// beyond half of the burst. All clients see the same number and move alike: at 1, they would take
/// the whole difference at once, each of them on news that is one period old.
const SHIFT: f64 = 0.4;

/// The pace with which it begins, in nanoseconds: one attempt a second.
const FIRST: u64 = 1_000_000_000;

/// What the latest gap between two attempts weighs in their average: so much that doubling is not
/// kept back by the gaps before it.
const LATEST: f64 = 0.5;

/// The pace of one client since its server throttled: additive increase, multiplicative decrease.
///
/// It begins with one attempt a second, and doubles with each success up to the next 429; from there
/// on the rate falls by a factor at each 429 and rises by a step at each success. Where the headers
/// have E2B's form, what remains of the burst says more than a 429, and sooner: above half of it the
/// rate rises by as much of the step as it is above, below half it falls likewise, so that clients
/// that know nothing of each other share the rate. A pace that is not made use of does not rise.
#[derive(Debug)]
pub(super) struct Pacing {
    /// The time between two attempts, in nanoseconds.
    period: f64,
    /// The period at the last 429.
    edge: f64,
    /// From here on the period of the next attempt runs.
    from: u64,
    /// Whether the rate doubles with each success.
    doubles: bool,
    /// When the latest attempt went, and the time between two of them on average.
    latest: u64,
    gap: f64,
}

impl Pacing {
    /// Begins at `now`, with a period within `bounds`.
    pub(super) fn new(now: Tick, bounds: (u64, u64)) -> Self {
        let period = clamped(FIRST as f64, bounds);
        let from = now.as_nanos().saturating_sub(period as u64);
        Self { period, edge: period, from, doubles: true, latest: now.as_nanos(), gap: period }
    }

    pub(super) fn opens(&self) -> Tick {
        Tick::from_nanos(self.from.saturating_add(self.period as u64))
    }

    pub(super) fn period(&self) -> Duration {
        Duration::from_nanos(self.period as u64)
    }

    /// An attempt goes at `now`. Says whether the pace was charged: not for one that went although
    /// it was too soon.
    pub(super) fn took(&mut self, now: Tick) -> bool {
        let (now, opens) = (now.as_nanos(), self.opens().as_nanos());
        self.gap += LATEST * (now.saturating_sub(self.latest) as f64 - self.gap);
        self.latest = now;
        if now < opens {
            return false;
        }
        // What was not used is saved up, half an attempt at most.
        self.from = opens.max(now.saturating_sub(self.period as u64 / 2));
        true
    }

    pub(super) fn give_back(&mut self) {
        self.from = self.from.saturating_sub(self.period as u64);
    }

    pub(super) fn throttled(&mut self, bounds: (u64, u64)) {
        self.doubles = false;
        self.edge = self.period;
        self.period = clamped(self.period / DECREASE, bounds);
    }

    /// A success; `told` what its headers say and the emission interval, if they have E2B's form.
    pub(super) fn passed(
        &mut self,
        told: Option<(Allowance, u64)>,
        done: &Completion,
        bounds: (u64, u64),
    ) {
        let step = match told {
            Some((told, emission)) if told.limit >= STEERABLE => {
                return self.steer(told, emission as f64, done, bounds);
            }
            Some((_, emission)) => INCREASE / emission as f64,
            None => INCREASE / self.edge,
        };
        self.rise(step, bounds);
    }

    /// Adds `step` to the rate, or doubles it.
    fn rise(&mut self, step: f64, bounds: (u64, u64)) {
        if self.period * 2.0 < self.gap {
            return;
        }
        let period = match self.doubles {
            true => self.period / 2.0,
            false => self.period / (1.0 + step * self.period),
        };
        self.period = clamped(period, bounds);
    }

    fn steer(&mut self, told: Allowance, emission: f64, done: &Completion, bounds: (u64, u64)) {
        // As many as are under way will all bring the same news.
        let under_way = 1.0 + done.took().as_nanos() as f64 / self.period;
        // What remains, seen from the middle: from -1 to 1 of half of the burst.
        let half = told.limit as f64 / 2.0;
        let above = told.remaining as f64 + 0.5 - half;
        let part = (above / half).clamp(-1.0, 1.0) / under_way;
        if above > 0.0 {
            self.rise(INCREASE * part / emission, bounds);
        } else {
            self.doubles = false;
            self.period = clamped(self.period * (1.0 - FALL * part), bounds);
        }
        let shift =
            (SHIFT * emission * above / under_way).clamp(-self.period / 2.0, self.period / 2.0);
        // However many responses push it away: not beyond a period from now.
        self.from = self.from.saturating_add_signed(-(shift as i64)).min(done.now().as_nanos());
    }
}

/// What one success below half of the burst takes of the rate, at most: as fast as ten clients that
/// share a limit rise.
const FALL: f64 = 0.1;

fn clamped(period: f64, (shortest, longest): (u64, u64)) -> f64 {
    period.clamp(shortest as f64, longest as f64)
}

#[cfg(test)]
mod tests {
    use sandtower_core::Verdict;

    use super::*;

    const BOUNDS: (u64, u64) = (1, 60_000_000_000);
    const INTERVAL: u64 = 200_000_000;

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(100_000 + millis)
    }

    fn pacing() -> Pacing {
        Pacing::new(at(0), BOUNDS)
    }

    /// A success at `now`, of one of ten that are under way for `took`.
    fn hear(pacing: &mut Pacing, remaining: u64, now: Tick, took: Duration) {
        let told = Allowance::new(10, remaining, Duration::from_secs(1));
        let sent = Tick::ZERO + now.since(Tick::ZERO).saturating_sub(took);
        let done = Completion::new(Verdict::success(), sent, now);
        pacing.passed(Some((told, INTERVAL)), &done, BOUNDS);
    }

    #[test]
    fn an_attempt_takes_a_period_unless_it_went_too_soon_or_was_never_sent() {
        let mut pacing = pacing();
        assert_eq!(pacing.opens(), at(0));
        assert!(pacing.took(at(0)));
        assert_eq!(pacing.opens(), at(1_000));
        // Let through although it is too soon, where limits are only watched.
        assert!((1..100).all(|millis| !pacing.took(at(millis))));
        assert_eq!(pacing.opens(), at(1_000));
        pacing.give_back();
        assert_eq!(pacing.opens(), at(0));
    }

    #[test]
    fn a_rest_saves_up_half_an_attempt() {
        let mut pacing = pacing();
        assert!(pacing.took(at(60_000)));
        assert_eq!(pacing.opens(), at(60_500));
    }

    #[test]
    fn a_pace_that_is_not_made_use_of_does_not_rise() {
        let mut pacing = pacing();
        for second in 1..100 {
            pacing.took(at(second * 1_000));
            let done = Completion::new(Verdict::success(), at(second * 1_000), at(second * 1_000));
            pacing.passed(None, &done, BOUNDS);
        }
        // It doubled once or twice, and then there was no more use.
        assert!(pacing.period() >= Duration::from_millis(250), "{pacing:?}");
    }

    #[test]
    fn above_half_of_the_burst_it_rises_and_below_half_it_falls() {
        for (remaining, rises) in [(9, true), (5, true), (4, false), (0, false)] {
            let mut pacing = pacing();
            pacing.throttled(BOUNDS);
            pacing.took(at(0));
            let (period, opens) = (pacing.period(), pacing.opens());
            hear(&mut pacing, remaining, at(500), Duration::ZERO);
            assert_eq!(pacing.period() < period, rises, "{remaining}");
            assert_eq!(pacing.opens() < opens, rises, "{remaining}");
        }
    }

    #[test]
    fn below_half_of_the_burst_it_doubles_no_more() {
        let mut pacing = pacing();
        hear(&mut pacing, 0, at(0), Duration::ZERO);
        let period = pacing.period();
        hear(&mut pacing, 9, at(0), Duration::ZERO);
        assert!(pacing.period() > period * 9 / 10, "{pacing:?}");
    }

    #[test]
    fn however_many_responses_push_it_away_the_next_goes_a_period_from_now_at_the_latest() {
        let mut pacing = pacing();
        for _ in 0..1_000 {
            pacing.took(at(0));
            hear(&mut pacing, 0, at(0), Duration::ZERO);
            assert!(pacing.opens() <= at(0) + pacing.period());
        }
        assert!(pacing.period() <= Duration::from_secs(60));
    }

    #[test]
    fn what_is_under_way_moves_it_once_together() {
        let moved = |took| {
            let mut pacing = pacing();
            pacing.throttled(BOUNDS);
            pacing.took(at(0));
            let opens = pacing.opens();
            hear(&mut pacing, 9, at(900), took);
            opens.since(pacing.opens())
        };
        let (alone, among_eleven) = (moved(Duration::ZERO), moved(Duration::from_secs(14)));
        assert!(among_eleven > Duration::ZERO && among_eleven < alone / 8);
    }
}
