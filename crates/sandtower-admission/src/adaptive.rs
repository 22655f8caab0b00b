//! Adaptive concurrency limit: learns from latency how many calls a service can take. Pure.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sandtower_core::{About, Completion, Effect, Outcome, Tick};
use serde::{Deserialize, Serialize};

/// A concurrency limit that adapts to the service.
///
/// After each round (about as many responses as the limit) the mean latency of the round is compared
/// with the baseline, the latency of the service without a queue:
///
/// ```text
/// gradient  = min(1, tolerance x baseline / mean)            at least 1/2
/// new limit = limit x gradient + sqrt(limit)                 if at most 10 % failed
/// new limit = limit x (1 - failed / 2)                       if more than 10 % failed
/// ```
///
/// The square root is the headroom that lets a queue form and be noticed (Netflix, "Performance under
/// load", 2018). Safeguards:
///
/// - The limit grows only if all of it was in use, and can always grow from its floor of 1.
/// - Only successes move the baseline. Timeouts lower the limit and never become the baseline.
/// - The baseline falls fast. It rises only when a queue cannot be the cause: when the limit was not
///   used up, or when latency did not fall although the limit did.
/// - Attempts sent under a higher limit do not count against a lower one: a whole queue that times out
///   lowers the limit once.
/// - Fast failures do not lower the limit: they are not a sign of overload, and a circuit breaker
///   handles them.
/// - Far below the limit that failed last, the limit doubles each round. At that limit it pauses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    pub(crate) initial: u32,
    #[serde(skip)]
    pub(crate) floor: u32,
    pub(crate) ceiling: u32,
    pub(crate) tolerance: f64,
}

impl Adaptive {
    /// Starts at 2, stays between 1 and 1,000, and tolerates latency a third above the baseline.
    pub const fn recommended() -> Self {
        Self { initial: 2, floor: 1, ceiling: 1_000, tolerance: 1.3 }
    }

    /// The initial limit.
    #[must_use]
    pub const fn initial(mut self, limit: u32) -> Self {
        self.initial = limit;
        self
    }

    /// The highest limit.
    #[must_use]
    pub const fn ceiling(mut self, limit: u32) -> Self {
        self.ceiling = limit;
        self
    }

    /// The ratio of latency to the baseline that is still normal. Greater than 1.
    #[must_use]
    pub const fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self::recommended()
    }
}

/// The minimum number of responses in a round: fewer are not significant.
const SHORTEST_ROUND: u32 = 3;
/// The share of a round that may fail without being a sign of overload.
const TOLERATED: f64 = 0.1;
/// Rounds until a limit that failed is tried again. Doubles each time about the same limit fails.
const FIRST_TRUCE: u32 = 2;
const LONGEST_TRUCE: u32 = 16;
/// Limits within this ratio are about the same.
const ABOUT_THE_SAME: f64 = 1.3;

#[derive(Debug)]
pub(crate) struct Learner {
    terms: Adaptive,
    limit: f64,
    /// Latency without a queue, in seconds; `None` before the first success.
    baseline: Option<f64>,
    round: Round,
    last: Option<Last>,
    /// Until latency first rises, the limit doubles from round to round.
    slow_start: bool,
    /// Attempts sent before this belong to an older, higher limit.
    cut: Tick,
    /// The limit at which the last round failed, and how many rounds to stay below it.
    failed_at: Option<f64>,
    truce: u32,
    truce_left: u32,
}

#[derive(Debug, Default)]
struct Round {
    answers: u32,
    seconds: f64,
    successes: u32,
    success_seconds: f64,
    failed: u32,
    /// Whether all slots were in use at any time.
    used: bool,
}

/// The previous round.
#[derive(Clone, Copy, Debug)]
struct Last {
    limit: f64,
    mean: f64,
}

impl Learner {
    pub(crate) fn new(terms: Adaptive) -> Self {
        Self {
            terms,
            limit: f64::from(terms.initial.clamp(terms.floor, terms.ceiling)),
            baseline: None,
            round: Round::default(),
            last: None,
            slow_start: true,
            cut: Tick::ZERO,
            failed_at: None,
            truce: FIRST_TRUCE,
            truce_left: 0,
        }
    }

    /// At least 1.
    pub(crate) fn limit(&self) -> u32 {
        // Cannot overflow: the limit is within the bounds of the terms, which are u32.
        self.limit as u32
    }

    /// Records that all slots are in use.
    pub(crate) fn used_up(&mut self) {
        self.round.used = true;
    }

    /// Records an attempt that ended while `in_flight` were in flight.
    pub(crate) fn learn(&mut self, done: &Completion, in_flight: u32) {
        if done.sent < self.cut {
            return;
        }
        let verdict = done.verdict;
        let seconds = done.took().as_secs_f64();
        match verdict.outcome {
            Outcome::Success => {
                self.round.successes += 1;
                self.round.success_seconds += seconds;
            }
            // A dead service fails fast. The breaker handles that; it is no measure of how many calls
            // a healthy service can take.
            Outcome::Transient | Outcome::Unknown
                if self.is_quick(seconds) || !verdict.is_failure() =>
            {
                return;
            }
            Outcome::Transient | Outcome::Unknown => self.round.failed += 1,
            // The service granted all attempts in flight except this one.
            Outcome::Exhausted => {
                return self.granted(in_flight.saturating_sub(1), done.now());
            }
            // A cancelled call is a sign of overload only if it had taken longer than normal.
            Outcome::Cancelled if self.is_slow(seconds) && verdict.about != About::Caller => {
                self.round.failed += 1;
            }
            // The service rejects without doing the work, so the latency is not a sample.
            _ => return,
        }
        self.round.answers += 1;
        self.round.seconds += seconds;
        let is_timeout = verdict.effect == Effect::Maybe && self.is_slow(seconds);
        if self.round.answers >= self.limit().max(SHORTEST_ROUND) || is_timeout {
            self.end_round(done.now());
        }
    }

    fn is_quick(&self, seconds: f64) -> bool {
        self.baseline.is_some_and(|baseline| seconds < baseline / 2.0)
    }

    fn is_slow(&self, seconds: f64) -> bool {
        self.baseline.is_some_and(|baseline| seconds > 2.0 * self.terms.tolerance * baseline)
    }

    fn granted(&mut self, slots: u32, now: Tick) {
        self.remember_failure(self.limit);
        self.set(f64::from(slots));
        (self.round, self.last, self.cut) = (Round::default(), None, now);
    }

    fn end_round(&mut self, now: Tick) {
        let round = std::mem::take(&mut self.round);
        let mean = round.seconds / f64::from(round.answers);
        self.learn_baseline(&round, mean);
        let before = self.limit;
        let failed = f64::from(round.failed) / f64::from(round.answers);
        if failed > TOLERATED {
            self.slow_start = false;
            self.remember_failure(before);
            self.set(before * (1.0 - failed / 2.0));
        } else {
            self.follow(mean, round.used);
        }
        if self.limit < before {
            self.cut = now;
        }
        self.last = Some(Last { limit: before, mean });
    }

    /// A service whose capacity falls fails at one limit after another and may recover at any time.
    /// The pause grows only if about the same limit fails again. A failure at the floor is not due
    /// to the limit.
    fn remember_failure(&mut self, limit: f64) {
        let again = self.failed_at.is_some_and(|failed| {
            limit < failed * ABOUT_THE_SAME && failed < limit * ABOUT_THE_SAME
        });
        self.truce = if again { (self.truce * 2).min(LONGEST_TRUCE) } else { FIRST_TRUCE };
        self.truce_left = self.truce;
        if limit >= f64::from(self.terms.floor) + 1.0 {
            self.failed_at = Some(limit);
        }
    }

    fn follow(&mut self, mean: f64, used: bool) {
        let Some(baseline) = self.baseline else { return };
        let gradient = (self.terms.tolerance * baseline / mean.max(1e-9)).clamp(0.5, 1.0);
        self.slow_start &= gradient == 1.0;
        let next = self.limit * gradient + self.limit.sqrt();
        if next <= self.limit {
            self.set(next);
        } else if used {
            let far_below = self.failed_at.is_some_and(|failed| self.limit < failed / 2.0);
            let doubles = gradient == 1.0 && (self.slow_start || far_below);
            self.grow(if doubles { self.limit * 2.0 } else { next });
        }
    }

    /// Raises the limit, but not yet to one that failed recently.
    fn grow(&mut self, to: f64) {
        match self.failed_at {
            Some(failed) if to >= failed && self.truce_left > 0 => {
                self.truce_left -= 1;
                self.set(self.limit.max((failed - 1.0).min(to)));
            }
            _ => self.set(to),
        }
    }

    fn learn_baseline(&mut self, round: &Round, mean: f64) {
        if round.successes == 0 {
            return;
        }
        let success = round.success_seconds / f64::from(round.successes);
        let Some(baseline) = self.baseline else {
            self.baseline = Some(success);
            return;
        };
        // If a queue caused the latency, the lower limit would have shortened it.
        let no_queue =
            self.last.is_some_and(|last| self.limit < 0.9 * last.limit && mean > 0.95 * last.mean);
        // The mean of few responses deviates by chance.
        let trust = (f64::from(round.successes) / 20.0).min(1.0);
        let weight = match success < baseline {
            true => 0.5 * trust,
            false if !round.used || no_queue => 0.2 * trust,
            false => 0.0,
        };
        self.baseline = Some(baseline + weight * (success - baseline));
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(f64::from(self.terms.floor), f64::from(self.terms.ceiling));
    }

    /// The baseline latency.
    pub(crate) fn baseline(&self) -> Option<Duration> {
        self.baseline.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}
