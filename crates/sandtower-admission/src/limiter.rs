//! The concurrency limit of one operation: fixed, adaptive or stepwise.

use std::time::Duration;

use sandtower_core::{Completion, Tick};
use serde::{Deserialize, Serialize};

use crate::adaptive::{Adaptive, Learner};
use crate::config::ConfigError;
use crate::stepwise::{Stepper, Stepwise};

/// The maximum calls in flight of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    expecting = "expected a number, `{ adaptive = {..} }` or `{ stepwise = {..} }`"
)]
#[non_exhaustive]
pub enum Limit {
    /// Adapts to the latency of the service, round by round.
    Adaptive(Adaptive),
    /// Finds the capacity of the service one trial at a time.
    Stepwise(Stepwise),
    /// A fixed number.
    #[serde(untagged)]
    Fixed(u32),
}

impl From<u32> for Limit {
    fn from(limit: u32) -> Self {
        Self::Fixed(limit)
    }
}

impl From<Adaptive> for Limit {
    fn from(adaptive: Adaptive) -> Self {
        Self::Adaptive(adaptive)
    }
}

impl From<Stepwise> for Limit {
    fn from(stepwise: Stepwise) -> Self {
        Self::Stepwise(stepwise)
    }
}

impl Limit {
    pub(crate) fn check(&self, operation: &str) -> Result<(), ConfigError> {
        let operation = operation.to_owned();
        match self {
            Self::Fixed(0) => Err(ConfigError::NoConcurrency { operation }),
            Self::Adaptive(Adaptive { initial: 0, .. } | Adaptive { ceiling: 0, .. })
            | Self::Stepwise(Stepwise { initial: 0, .. } | Stepwise { ceiling: 0, .. }) => {
                Err(ConfigError::NoConcurrency { operation })
            }
            Self::Adaptive(terms) if !(terms.tolerance > 1.0 && terms.tolerance.is_finite()) => {
                Err(ConfigError::Tolerance { operation, tolerance: terms.tolerance })
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Limiter {
    Fixed(u32),
    Learned(Learner),
    Stepped(Stepper),
}

impl Limiter {
    pub(crate) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Fixed(limit) => Self::Fixed(limit),
            Limit::Adaptive(terms) => Self::Learned(Learner::new(terms)),
            Limit::Stepwise(terms) => Self::Stepped(Stepper::new(terms)),
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Learned(learner) => learner.limit(),
            Self::Stepped(stepper) => stepper.limit(),
        }
    }

    pub(crate) fn baseline(&self) -> Option<Duration> {
        match self {
            Self::Fixed(_) => None,
            Self::Learned(learner) => learner.baseline(),
            Self::Stepped(stepper) => stepper.mean(),
        }
    }

    /// Whether the limit depends on the latency of attempts.
    #[inline]
    pub(crate) fn learns(&self) -> bool {
        matches!(self, Self::Learned(_) | Self::Stepped(_))
    }

    #[inline]
    pub(crate) fn used_up(&mut self, now: Tick) {
        match self {
            Self::Fixed(_) => {}
            Self::Learned(learner) => learner.used_up(),
            Self::Stepped(stepper) => stepper.used_up(now),
        }
    }

    /// Whether the last of `in_flight` attempts is a trial.
    #[inline]
    pub(crate) fn is_trial(&self, in_flight: u32) -> bool {
        matches!(self, Self::Stepped(stepper) if stepper.is_trial(in_flight))
    }

    pub(crate) fn trial_was_not_sent(&mut self) {
        if let Self::Stepped(stepper) = self {
            stepper.trial_was_not_sent();
        }
    }

    #[inline]
    pub(crate) fn learn(&mut self, done: &Completion, trial: bool, in_flight: u32) {
        match self {
            Self::Fixed(_) => {}
            Self::Learned(learner) => learner.learn(done, in_flight),
            Self::Stepped(stepper) => stepper.learn(done, trial),
        }
    }
}

#[cfg(test)]
mod tests {
    use sandtower_core::Verdict;

    use super::*;

    #[test]
    fn only_the_attempt_beyond_a_stepwise_limit_is_a_trial() {
        let now = Tick::ZERO + Duration::from_secs(1);
        for limit in [Limit::Fixed(1), Adaptive::recommended().initial(1).into()] {
            let mut limiter = Limiter::new(limit);
            limiter.used_up(now);
            assert!(![1, 2, 9].iter().any(|&in_flight| limiter.is_trial(in_flight)), "{limit:?}");
        }
        let mut limiter = Limiter::new(Stepwise::recommended().into());
        assert!(!limiter.is_trial(2), "no trial is due yet");
        limiter.used_up(now);
        for _ in 0..5 {
            limiter.learn(&Completion::new(Verdict::success(), now, now), false, 1);
        }
        assert_eq!([1, 2].map(|in_flight| limiter.is_trial(in_flight)), [false, true]);
    }
}
