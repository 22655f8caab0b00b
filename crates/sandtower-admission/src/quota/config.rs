use std::sync::Arc;
use std::time::Duration;

use sandtower_core::settings::duration;
use sandtower_core::{Backoff, Operation, Seed};
use serde::{Deserialize, Serialize};

use super::engine::Terms;
use super::operations::Operations;

/// The configuration of a [`Quota`](crate::Quota): what it counts, and how it probes.
///
/// | setting | default |
/// |---|---|
/// | [`takes`](QuotaConfig::takes), [`releases`](QuotaConfig::releases) | no operation |
/// | [`limit`](QuotaConfig::limit) | the number in use when the service reports that it is out of slots |
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a config does nothing by itself"]
pub struct QuotaConfig {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    #[serde(skip)]
    pub(crate) takes: Operations,
    #[serde(skip)]
    pub(crate) releases: Operations,
    limit: Option<u32>,
    probe: Pauses,
    #[serde(with = "duration")]
    lease: Duration,
    #[serde(skip)]
    pub(crate) seed: Seed,
}

/// The pauses between probes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pauses {
    #[serde(with = "duration")]
    first: Duration,
    #[serde(with = "duration")]
    most: Duration,
}

impl QuotaConfig {
    /// A quota that counts nothing until [`takes`](Self::takes) names an operation. `name` appears in
    /// rejections and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            takes: Operations::default(),
            releases: Operations::default(),
            limit: None,
            probe: Pauses { first: Duration::from_secs(5), most: Duration::from_secs(60) },
            // The longest attempt to create a sandbox in the recommended stack, plus 1 s.
            lease: Duration::from_secs(61),
            seed: Seed::random(),
        }
    }

    /// Adds an operation whose success takes a slot.
    pub fn takes(mut self, operation: Operation) -> Self {
        self.takes.insert(operation);
        self
    }

    /// Adds an operation whose success frees a slot.
    pub fn releases(mut self, operation: Operation) -> Self {
        self.releases.insert(operation);
        self
    }

    /// The known number of slots; at least 1. Beyond it calls are sent one at a time, and the service
    /// decides.
    pub fn limit(mut self, slots: u32) -> Self {
        self.limit = Some(slots);
        self
    }

    /// The pause before a probe while the service is out of slots and no slot is seen to become free:
    /// `first`, doubled after each probe that finds none, up to `most`. `first` must be greater than
    /// zero and at most `most`. Jitter shortens each pause by up to half.
    pub fn probe(mut self, first: Duration, most: Duration) -> Self {
        self.probe = Pauses { first, most };
        self
    }

    /// How long a probe may take before another replaces it: slightly longer than one attempt. Greater
    /// than zero.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The seed of the jitter; [`Seed::random`] by default.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Takes the name, the operations that take and release a slot, and the seed from `base`: a
    /// configuration file does not set them.
    pub fn inherit(self, base: &Self) -> Self {
        Self { limit: self.limit, probe: self.probe, lease: self.lease, ..base.clone() }
    }

    pub(crate) fn terms(&self) -> Result<Terms, QuotaConfigError> {
        check_limit(self.limit)?;
        if let Some(operation) = self.takes.first_of_both(&self.releases) {
            return Err(QuotaConfigError::Both { operation });
        }
        let Pauses { first, most } = self.probe;
        if first.is_zero() || first > most {
            return Err(QuotaConfigError::Probe { first, most });
        }
        if self.lease.is_zero() {
            return Err(QuotaConfigError::NoLease);
        }
        let probe = Backoff::exponential(first, most);
        Ok(Terms { limit: self.limit, probe, lease: self.lease })
    }
}

pub(crate) fn check_limit(limit: Option<u32>) -> Result<(), QuotaConfigError> {
    if limit == Some(0) { Err(QuotaConfigError::NoSlots) } else { Ok(()) }
}

/// A [`QuotaConfig`] that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaConfigError {
    /// A limit of 0 slots.
    #[error("the `limit` of a quota must be at least 1; leave it out if unknown")]
    NoSlots,
    /// An operation that both takes and frees a slot.
    #[error("operation {operation} is in both `takes` and `releases`; it must be in one at most")]
    Both {
        /// The name of the operation.
        operation: &'static str,
    },
    /// Pauses between probes that start at zero or decrease.
    #[error(
        "the pauses of `probe` are {first:?} to {most:?}; the first must be greater than zero and at most the longest"
    )]
    Probe {
        /// The first pause.
        first: Duration,
        /// The longest pause.
        most: Duration,
    },
    /// A lease of zero.
    #[error("the `lease` of a probe must be greater than zero")]
    NoLease,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_as_it_was_and_what_no_file_has_is_inherited() {
        for config in [
            QuotaConfig::new("any").seed(Seed::fixed(1)),
            QuotaConfig::new("any")
                .takes(Operation::CALL)
                .releases(Operation::new(1, "kill"))
                .limit(7)
                .probe(Duration::from_nanos(1), Duration::MAX)
                .lease(Duration::MAX),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: QuotaConfig = serde_json::from_str(&text).unwrap();
            let other = config.clone().limit(1).probe(Duration::ZERO, Duration::ZERO);
            let again = again.inherit(&other.lease(Duration::ZERO));
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }
}
