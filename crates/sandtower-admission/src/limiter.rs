//! One lane's limit: fixed, or learned.

use std::time::Duration;

use sandtower_core::Settlement;

use crate::adaptive::{Adaptive, Learner};
use crate::config::ConfigError;

/// How many calls of one operation may be in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Limit {
    /// Always so many.
    Fixed(u32),
    /// As many as the service bears.
    Adaptive(Adaptive),
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

impl Limit {
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), ConfigError> {
        match self {
            Self::Fixed(0) => Err(ConfigError::NoConcurrency { operation }),
            Self::Adaptive(Adaptive { initial: 0, .. } | Adaptive { ceiling: 0, .. }) => {
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
}

impl Limiter {
    pub(crate) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Fixed(limit) => Self::Fixed(limit),
            Limit::Adaptive(terms) => Self::Learned(Learner::new(terms)),
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Learned(learner) => learner.limit(),
        }
    }

    pub(crate) fn baseline(&self) -> Option<Duration> {
        match self {
            Self::Fixed(_) => None,
            Self::Learned(learner) => learner.baseline(),
        }
    }

    /// Whether it learns from how long attempts take.
    #[inline]
    pub(crate) fn learns(&self) -> bool {
        matches!(self, Self::Learned(_))
    }

    #[inline]
    pub(crate) fn used_up(&mut self) {
        if let Self::Learned(learner) = self {
            learner.used_up();
        }
    }

    #[inline]
    pub(crate) fn learn(&mut self, settlement: &Settlement, in_flight: u32) {
        if let Self::Learned(learner) = self {
            learner.learn(settlement, in_flight);
        }
    }
}
