use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Backoff, Operation, Seed};

use super::engine::Terms;
use super::operations::Operations;

/// What a [`Quota`](crate::Quota) counts, and how it finds out what it cannot count.
///
/// | setting | default |
/// |---|---|
/// | [`takes`](QuotaConfig::takes), [`releases`](QuotaConfig::releases) | none |
/// | [`limit`](QuotaConfig::limit) | learned when the service says that it is out of slots |
/// | [`probe`](QuotaConfig::probe) | after 5 s, doubling to 60 s |
/// | [`lease`](QuotaConfig::lease) | 61 s |
///
/// ```
/// use sandtower_admission::QuotaConfig;
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// const KILL: Operation = Operation::new(5, "sandbox_kill");
/// let config = QuotaConfig::new("E2B").takes(CREATE).releases(KILL).limit(20);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a config does nothing by itself"]
pub struct QuotaConfig {
    pub(crate) name: Arc<str>,
    pub(crate) takes: Operations,
    pub(crate) releases: Operations,
    limit: Option<u32>,
    first: Duration,
    most: Duration,
    lease: Duration,
    pub(crate) seed: Seed,
}

impl QuotaConfig {
    /// Counts nothing before it is told what takes a slot. `name` appears in rejections and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            takes: Operations::default(),
            releases: Operations::default(),
            limit: None,
            first: Duration::from_secs(5),
            most: Duration::from_secs(60),
            // The longest that one attempt at a creation takes in the recommended stack, and 1 s.
            lease: Duration::from_secs(61),
            seed: Seed::random(),
        }
    }

    /// A success of `operation` takes a slot.
    pub fn takes(mut self, operation: Operation) -> Self {
        self.takes.insert(operation);
        self
    }

    /// A success of `operation` frees one.
    pub fn releases(mut self, operation: Operation) -> Self {
        self.releases.insert(operation);
        self
    }

    /// How many slots there are, as far as is known beforehand; at least 1. Beyond it, one call goes
    /// at a time, and the word of the service counts.
    pub fn limit(mut self, slots: u32) -> Self {
        self.limit = Some(slots);
        self
    }

    /// How long to wait after the service said no before one call tries again, if no slot is seen to
    /// become free; doubles up to `most` as long as that finds none. More than zero. Up to half of it
    /// is left out by chance.
    pub fn probe(mut self, first: Duration, most: Duration) -> Self {
        (self.first, self.most) = (first, most);
        self
    }

    /// How long such a try may take before another goes in its place: a little longer than one
    /// attempt. More than zero.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Where chance comes from.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) fn terms(&self) -> Result<Terms, QuotaConfigError> {
        check_limit(self.limit)?;
        if let Some(operation) = self.takes.first_of_both(&self.releases) {
            return Err(QuotaConfigError::Both { operation });
        }
        if self.first.is_zero() || self.first > self.most {
            let (first, most) = (self.first, self.most);
            return Err(QuotaConfigError::Probe { first, most });
        }
        if self.lease.is_zero() {
            return Err(QuotaConfigError::NoLease);
        }
        let probe = Backoff::exponential(self.first, self.most);
        Ok(Terms { limit: self.limit, probe, lease: self.lease })
    }
}

pub(crate) fn check_limit(limit: Option<u32>) -> Result<(), QuotaConfigError> {
    if limit == Some(0) { Err(QuotaConfigError::NoSlots) } else { Ok(()) }
}

/// A [`QuotaConfig`] that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaConfigError {
    /// A limit of 0 slots.
    NoSlots,
    /// Taking a slot and freeing one at once.
    Both {
        /// What was said to do both.
        operation: &'static str,
    },
    /// Pauses between probes that are none, or shrink.
    Probe {
        /// The first pause.
        first: Duration,
        /// The longest.
        most: Duration,
    },
    /// Probes that are void at once.
    NoLease,
}

impl std::fmt::Display for QuotaConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSlots => f.write_str(
                "a quota of 0 slots grants nothing; it must be at least 1, or left out if unknown",
            ),
            Self::Both { operation } => {
                write!(f, "{operation} is said to take a slot and to free one; it can do only one")
            }
            Self::Probe { first, most } => write!(
                f,
                "the pauses between probes are {first:?} to {most:?}; the first must be more than 0 s and no longer than the longest"
            ),
            Self::NoLease => f.write_str("the lease of a probe is 0 s; it must be more"),
        }
    }
}

impl std::error::Error for QuotaConfigError {}
