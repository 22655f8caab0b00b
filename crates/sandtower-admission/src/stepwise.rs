//! How many calls a service bears at once, found out one at a time: pure.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sandtower_core::{About, Completion, Outcome, Tick};
use serde::{Deserialize, Serialize};

/// A concurrency limit for calls that are few, slow and dear, such as creations of sandboxes.
///
/// [`Adaptive`](crate::Adaptive) compares rounds of answers, and loses some of them whenever it tries
/// too much. Where a call takes seconds and each one matters, this one risks a single attempt:
///
/// - It starts with 1. After 5 good answers, if all slots were used, one attempt more goes as a
///   trial; until it ended, its slot is nobody else's.
/// - A trial that ends well, and not slowly, raises the limit by one. After one that fails or is slow,
///   the next takes 4 times as many good answers, up to 320, until a limit above has proved itself.
/// - When two answers, and more than a tenth, fail or are slow, the limit falls: by one at least, and
///   to as large a share as was good. At 1 trials go on, so that it can always grow again.
/// - Slow is more than 2.6 times the mean of the good answers. Above a limit of 1, slow answers never
///   look normal: they may be slow since too many are in flight.
/// - Failures that come at once are left to a circuit breaker, and "out of slots" to a
///   [`Quota`](crate::Quota): neither says how many calls may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stepwise {
    pub(crate) initial: u32,
    pub(crate) ceiling: u32,
}

impl Stepwise {
    /// Starts with 1 and stays below or at 10.
    pub const fn recommended() -> Self {
        Self { initial: 1, ceiling: 10 }
    }

    /// What to begin with.
    #[must_use]
    pub const fn initial(mut self, limit: u32) -> Self {
        self.initial = limit;
        self
    }

    /// The most that it may grow to.
    #[must_use]
    pub const fn ceiling(mut self, limit: u32) -> Self {
        self.ceiling = limit;
        self
    }
}

impl Default for Stepwise {
    fn default() -> Self {
        Self::recommended()
    }
}

/// Good answers before the first trial, and before the one after a trial that ended well.
const FIRST_PATIENCE: u32 = 5;
/// How many times longer it takes until the next trial when one failed.
const MORE_PATIENCE: u32 = 4;
const LONGEST_PATIENCE: u32 = FIRST_PATIENCE * 64;
/// Good answers after which a limit that a trial found is a new place to begin from.
const PROOF: u32 = 20;
/// One of so many answers may be bad.
const TOLERATED: u32 = 10;
/// One that failed may have failed by chance.
const NO_CHANCE: u32 = 2;
/// Answers that are remembered, about: older ones count half.
const REMEMBERED: u32 = 40;
/// So many times longer than the mean is slow: as far out as `Adaptive` has it.
const SLOW: f64 = 2.6;
/// How much a new answer counts in the mean.
const WEIGHT: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Stepper {
    ceiling: u32,
    limit: u32,
    /// Seconds that a good answer takes; `None` before the first.
    mean: Option<f64>,
    trial: Trial,
    /// Good answers that the next trial takes.
    patience: u32,
    /// Whether a trial found this limit, and it has yet to prove itself.
    climbed: bool,
    /// Good answers since the last trial, or since the limit fell.
    waited: u32,
    /// Whether all slots were in use since then.
    used: bool,
    /// Answers at this limit.
    good: u32,
    bad: u32,
    /// Attempts sent before this are of a higher limit.
    cut: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    No,
    /// The next attempt that finds all slots in use is one.
    Due,
    /// It went then, and its slot is nobody else's.
    Out(Tick),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    Bad,
    /// Says nothing about how many may be in flight.
    Neither,
}

impl Stepper {
    pub(crate) fn new(terms: Stepwise) -> Self {
        Self {
            ceiling: terms.ceiling,
            limit: terms.initial.min(terms.ceiling),
            mean: None,
            trial: Trial::No,
            patience: FIRST_PATIENCE,
            climbed: false,
            waited: 0,
            used: false,
            good: 0,
            bad: 0,
            cut: Tick::ZERO,
        }
    }

    /// At least 1.
    pub(crate) fn limit(&self) -> u32 {
        self.limit + u32::from(self.trial == Trial::Due)
    }

    /// All slots are in use.
    pub(crate) fn used_up(&mut self, now: Tick) {
        self.used = true;
        if self.trial == Trial::Due {
            self.trial = Trial::Out(now);
        }
    }

    /// Whether the last of so many in flight is a trial.
    pub(crate) fn is_trial(&self, in_flight: u32) -> bool {
        self.trial == Trial::Due && in_flight > self.limit
    }

    /// Another one has to be.
    pub(crate) fn trial_was_not_sent(&mut self) {
        if let Trial::Out(_) = self.trial {
            self.trial = Trial::Due;
        }
    }

    /// Learns from an attempt.
    pub(crate) fn learn(&mut self, done: &Completion, is_trial: bool) {
        let seconds = done.took().as_secs_f64();
        let answer = self.judge(done, seconds);
        if let Trial::Out(since) = self.trial {
            // One that was given up on may come back when the next is out.
            let is_trial = is_trial && done.sent >= since;
            let overdue = self.is_slow(done.now().since(since).as_secs_f64());
            match answer {
                Answer::Bad => return self.trial_failed(),
                Answer::Good if is_trial => self.trial_succeeded(),
                _ if overdue => {
                    self.cut = done.now();
                    self.trial_failed();
                }
                Answer::Neither if is_trial => self.trial = Trial::No,
                Answer::Good | Answer::Neither => {}
            }
        }
        // A trial that was given up on meanwhile is of a higher limit than there is.
        if done.sent < self.cut || answer == Answer::Neither {
            return;
        }
        self.count(answer, seconds, done.now());
    }

    /// The time that is normal.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.mean.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    fn judge(&self, done: &Completion, seconds: f64) -> Answer {
        match done.verdict.outcome {
            Outcome::Success if self.is_slow(seconds) && self.limit_in_use() > 1 => Answer::Bad,
            Outcome::Success => Answer::Good,
            Outcome::Transient | Outcome::Unknown if self.is_quick(seconds) => Answer::Neither,
            Outcome::Transient | Outcome::Unknown if done.verdict.is_failure() => Answer::Bad,
            // A caller that went says something only if it had waited longer than is normal.
            Outcome::Cancelled if self.is_slow(seconds) && done.verdict.about != About::Caller => {
                Answer::Bad
            }
            _ => Answer::Neither,
        }
    }

    /// How many may really be in flight now.
    fn limit_in_use(&self) -> u32 {
        self.limit + u32::from(matches!(self.trial, Trial::Out(_)))
    }

    fn is_quick(&self, seconds: f64) -> bool {
        self.mean.is_some_and(|mean| seconds < mean / 2.0)
    }

    fn is_slow(&self, seconds: f64) -> bool {
        self.mean.is_some_and(|mean| seconds > SLOW * mean)
    }

    fn trial_succeeded(&mut self) {
        self.limit += 1;
        (self.trial, self.waited, self.used) = (Trial::No, 0, false);
        (self.good, self.bad, self.climbed) = (0, 0, true);
    }

    fn trial_failed(&mut self) {
        self.trial = Trial::No;
        self.be_patient();
    }

    fn be_patient(&mut self) {
        self.patience = (self.patience * MORE_PATIENCE).min(LONGEST_PATIENCE);
        (self.waited, self.used, self.climbed) = (0, false, false);
    }

    fn count(&mut self, answer: Answer, seconds: f64, now: Tick) {
        match answer {
            Answer::Good => {
                self.good += 1;
                self.waited += 1;
                self.mean =
                    Some(self.mean.map_or(seconds, |mean| mean + WEIGHT * (seconds - mean)));
            }
            _ => self.bad += 1,
        }
        let answers = self.good + self.bad;
        if self.bad >= NO_CHANCE && self.bad * TOLERATED > answers && self.limit > 1 {
            // By one at least; to 1 if none was good.
            self.limit = (self.limit * self.good / answers).clamp(1, self.limit - 1);
            self.cut = now;
            (self.good, self.bad, self.trial) = (0, 0, Trial::No);
            return self.be_patient();
        }
        if self.climbed && self.good >= PROOF {
            (self.climbed, self.patience) = (false, FIRST_PATIENCE);
        }
        if answers >= REMEMBERED {
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
        let may_try = self.used && self.limit < self.ceiling && self.trial == Trial::No;
        if may_try && self.waited >= self.patience {
            self.trial = Trial::Due;
        }
    }
}
