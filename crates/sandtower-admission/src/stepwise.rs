//! Stepwise concurrency limit: finds the capacity of a service one trial at a time. Pure.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sandtower_core::{About, Completion, Outcome, Tick};
use serde::{Deserialize, Serialize};

/// A concurrency limit for calls that are few, slow and expensive, such as sandbox creation.
///
/// [`Adaptive`](crate::Adaptive) compares rounds of calls and loses several of them whenever its limit
/// is too high. Where a call takes seconds and each one matters, this limit risks a single call:
///
/// - It starts at 1. After 5 good responses, if all slots were in use, one additional attempt is sent
///   as a trial. No other attempt takes the trial's slot until the trial ends.
/// - A trial that succeeds and is not slow raises the limit by one. After a trial that fails or is slow,
///   the next one needs 4 times as many good responses, up to 320, until a higher limit proves stable.
/// - When at least two responses, and more than 10 %, fail or are slow, the limit drops: by at least
///   one, and in proportion to the good responses. At a limit of 1 trials continue, so that the limit
///   can always grow again.
/// - A response is slow above 2.6 times the mean of the good ones. Above a limit of 1, slow responses
///   do not enter the mean: too many calls in flight may be what makes them slow.
/// - Fast failures are left to a circuit breaker, and "out of slots" to a [`Quota`](crate::Quota):
///   neither is a measure of how many calls may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stepwise {
    pub(crate) initial: u32,
    pub(crate) ceiling: u32,
}

impl Stepwise {
    /// Starts at 1 and grows to at most 10.
    pub const fn recommended() -> Self {
        Self { initial: 1, ceiling: 10 }
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
}

impl Default for Stepwise {
    fn default() -> Self {
        Self::recommended()
    }
}

/// Good samples before the first trial, and before the one after a successful trial.
const FIRST_PATIENCE: u32 = 5;
/// Factor on the number of good samples before the next trial, after one failed.
const MORE_PATIENCE: u32 = 4;
const LONGEST_PATIENCE: u32 = FIRST_PATIENCE * 64;
/// Good samples after which a limit found by a trial is stable.
const PROOF: u32 = 20;
/// One in this many samples may be bad.
const TOLERATED: u32 = 10;
/// Bad samples from which the limit drops: a single one may be chance.
const NO_CHANCE: u32 = 2;
/// Samples after which the counts are halved, so that older ones count less.
const REMEMBERED: u32 = 40;
/// The ratio to the mean above which a sample is slow: as far out as that of `Adaptive`.
const SLOW: f64 = 2.6;
/// Weight of a new sample in the mean.
const WEIGHT: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Stepper {
    ceiling: u32,
    limit: u32,
    /// Mean seconds of good samples; `None` before the first.
    mean: Option<f64>,
    trial: Trial,
    /// Good samples needed before the next trial.
    patience: u32,
    /// Whether a trial found this limit and it has not proved stable yet.
    climbed: bool,
    /// Good samples since the last trial, or since the limit fell.
    waited: u32,
    /// Whether all slots were in use since then.
    used: bool,
    /// Samples at this limit.
    good: u32,
    bad: u32,
    /// Attempts sent before this belong to a higher limit.
    cut: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    No,
    /// The next attempt that finds all slots in use is a trial.
    Due,
    /// The trial was sent at this instant. No other attempt takes its slot.
    Out(Tick),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    Good,
    Bad,
    /// Not a measure of how many may be in flight.
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

    /// Records that all slots are in use.
    pub(crate) fn used_up(&mut self, now: Tick) {
        self.used = true;
        if self.trial == Trial::Due {
            self.trial = Trial::Out(now);
        }
    }

    /// Whether the last of `in_flight` attempts is a trial.
    pub(crate) fn is_trial(&self, in_flight: u32) -> bool {
        self.trial == Trial::Due && in_flight > self.limit
    }

    /// Makes the next attempt the trial instead.
    pub(crate) fn trial_was_not_sent(&mut self) {
        if let Trial::Out(_) = self.trial {
            self.trial = Trial::Due;
        }
    }

    /// Records an attempt that ended.
    pub(crate) fn learn(&mut self, done: &Completion, is_trial: bool) {
        let seconds = done.took().as_secs_f64();
        let sample = self.classify(done, seconds);
        if let Trial::Out(since) = self.trial {
            // A trial that timed out here may end after the next one was sent.
            let is_trial = is_trial && done.sent >= since;
            let overdue = self.is_slow(done.now().since(since).as_secs_f64());
            match sample {
                Sample::Bad => return self.trial_failed(),
                Sample::Good if is_trial => self.trial_succeeded(),
                _ if overdue => {
                    self.cut = done.now();
                    self.trial_failed();
                }
                Sample::Neither if is_trial => self.trial = Trial::No,
                Sample::Good | Sample::Neither => {}
            }
        }
        // A trial that timed out here belongs to a higher limit than the current one.
        if done.sent < self.cut || sample == Sample::Neither {
            return;
        }
        self.count(sample, seconds, done.now());
    }

    /// The mean time of a good sample.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.mean.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    fn classify(&self, done: &Completion, seconds: f64) -> Sample {
        match done.verdict.outcome {
            Outcome::Success if self.is_slow(seconds) && self.limit_in_use() > 1 => Sample::Bad,
            Outcome::Success => Sample::Good,
            Outcome::Transient | Outcome::Unknown if self.is_quick(seconds) => Sample::Neither,
            Outcome::Transient | Outcome::Unknown if done.verdict.is_failure() => Sample::Bad,
            // A cancelled call is a sign of overload only if it had taken longer than normal.
            Outcome::Cancelled if self.is_slow(seconds) && done.verdict.about != About::Caller => {
                Sample::Bad
            }
            _ => Sample::Neither,
        }
    }

    /// The limit including a trial that is in flight.
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

    fn count(&mut self, sample: Sample, seconds: f64, now: Tick) {
        match sample {
            Sample::Good => {
                self.good += 1;
                self.waited += 1;
                self.mean =
                    Some(self.mean.map_or(seconds, |mean| mean + WEIGHT * (seconds - mean)));
            }
            _ => self.bad += 1,
        }
        let samples = self.good + self.bad;
        if self.bad >= NO_CHANCE && self.bad * TOLERATED > samples && self.limit > 1 {
            // Down by at least one; to 1 if no sample was good.
            self.limit = (self.limit * self.good / samples).clamp(1, self.limit - 1);
            self.cut = now;
            (self.good, self.bad, self.trial) = (0, 0, Trial::No);
            return self.be_patient();
        }
        if self.climbed && self.good >= PROOF {
            (self.climbed, self.patience) = (false, FIRST_PATIENCE);
        }
        if samples >= REMEMBERED {
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
        let may_try = self.used && self.limit < self.ceiling && self.trial == Trial::No;
        if may_try && self.waited >= self.patience {
            self.trial = Trial::Due;
        }
    }
}
