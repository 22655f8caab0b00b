use std::time::Duration;

use sandtower_core::{Allowance, Tick};

/// A 429 multiplies the rate by this: beta of CUBIC (RFC 9438, 4.6) and of the AWS SDKs' adaptive
/// retries.
const DECREASE: f64 = 0.7;

/// What one success adds to the rate, as a part of the whole: of the server's own rate where the
/// headers tell it, else of the rate at the last 429. A cut is made good by 30 successes, so that
/// about one attempt in 30 finds the edge anew.
const INCREASE: f64 = 0.01;

/// The least burst of which what remains says enough to steer by.
const STEERABLE: u64 = 3;

/// How far one response moves the next attempt, in emission intervals for each unit that remains
/// beyond half of the burst. All clients see the same number and move alike: at 1, they would take
/// the whole difference at once, each of them on news that is one period old.
const SHIFT: f64 = 0.4;

/// The pace of one client since its server throttled: additive increase, multiplicative decrease.
///
/// It begins with one attempt in the time that the first 429 asked for, and doubles with each
/// success up to the next 429; from there on the rate falls by a factor at each 429 and rises by a
/// step at each success. Where the headers have E2B's form, what remains of the burst says more
/// than a 429, and sooner: above half of it the rate rises by as much of the step as it is above,
/// below half it falls as slowly, so that clients that know nothing of each other share the rate.
#[derive(Debug)]
pub(super) struct Pacing {
    /// The time between two attempts, in nanoseconds.
    period: f64,
    /// The period at the last 429.
    edge: f64,
    /// Nothing before this.
    next: u64,
    /// Whether the rate doubles with each success.
    doubles: bool,
}

impl Pacing {
    /// One attempt in `period`, which is clamped to `bounds`.
    pub(super) fn new(period: u64, bounds: (u64, u64)) -> Self {
        let period = clamped(period as f64, bounds);
        Self { period, edge: period, next: 0, doubles: true }
    }

    pub(super) fn opens(&self) -> Tick {
        Tick::from_nanos(self.next)
    }

    pub(super) fn period(&self) -> Duration {
        Duration::from_nanos(self.period as u64)
    }

    /// An attempt goes at `now`. Says whether the pace was charged: not for one that went although
    /// it was too soon.
    pub(super) fn took(&mut self, now: Tick) -> bool {
        if now < self.opens() {
            return false;
        }
        // What was not used is saved up, half an attempt at most.
        let saved = now.as_nanos().saturating_sub(self.period as u64 / 2);
        self.next = self.next.max(saved).saturating_add(self.period as u64);
        true
    }

    pub(super) fn give_back(&mut self) {
        self.next = self.next.saturating_sub(self.period as u64);
    }

    pub(super) fn throttled(&mut self, bounds: (u64, u64)) {
        self.doubles = false;
        self.edge = self.period;
        self.period = clamped(self.period / DECREASE, bounds);
    }

    /// A success; `told` what its headers say and the emission interval, if they have E2B's form.
    pub(super) fn passed(&mut self, told: Option<(Allowance, u64)>, bounds: (u64, u64)) {
        let step = match told {
            Some((told, emission)) if told.limit >= STEERABLE => {
                return self.steer(told, emission as f64, bounds);
            }
            Some((_, emission)) => INCREASE / emission as f64,
            None => INCREASE / self.edge,
        };
        self.period = match self.doubles {
            true => clamped(self.period / 2.0, bounds),
            false => clamped(self.period / (1.0 + step * self.period), bounds),
        };
    }

    fn steer(&mut self, told: Allowance, emission: f64, bounds: (u64, u64)) {
        // What remains, seen from the middle: from -1 to 1 of half of the burst.
        let half = told.limit as f64 / 2.0;
        let above = told.remaining as f64 + 0.5 - half;
        let part = (above / half).clamp(-1.0, 1.0);
        self.doubles &= above > 0.0;
        let period = match (self.doubles, above > 0.0) {
            (true, _) => self.period / 2.0,
            (false, true) => self.period / (1.0 + INCREASE * part * self.period / emission),
            (false, false) => self.period * (1.0 - INCREASE * FALL * part),
        };
        self.period = clamped(period, bounds);
        let shift = (SHIFT * emission * above).clamp(-self.period / 2.0, self.period / 2.0);
        self.next = self.next.saturating_add_signed(-(shift as i64));
    }
}

/// Falling is as fast as rising where ten clients share a limit.
const FALL: f64 = 10.0;

fn clamped(period: f64, (shortest, longest): (u64, u64)) -> f64 {
    period.clamp(shortest as f64, longest as f64)
}
