use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Seed;
use sandtower_core::settings::duration;
use serde::{Deserialize, Serialize};

/// How a [`Monitor`](crate::Monitor) probes its service.
///
/// | setting | default |
/// |---|---|
/// | [`every`](MonitorConfig::every) | 10 s |
/// | [`jitter`](MonitorConfig::jitter) | 10 % |
/// | [`probe_within`](MonitorConfig::probe_within) | 5 s |
/// | [`fall`](MonitorConfig::fall) | down after 3 failures in a row |
/// | [`rise`](MonitorConfig::rise) | healthy after 2 successes in a row |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a config does nothing by itself"]
pub struct MonitorConfig {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    #[serde(with = "duration")]
    pub(crate) every: Duration,
    pub(crate) jitter: u8,
    #[serde(with = "duration", rename = "probe_within")]
    pub(crate) within: Duration,
    pub(crate) fall: u32,
    pub(crate) rise: u32,
    #[serde(skip)]
    pub(crate) seed: Seed,
}

impl MonitorConfig {
    /// Probes every 10 s. The `name` of the service is for rejections and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            every: Duration::from_secs(10),
            jitter: 10,
            within: Duration::from_secs(5),
            fall: 3,
            rise: 2,
            seed: Seed::random(),
        }
    }

    /// The pause between the end of one probe and the next; more than zero, and at least 1 ms in
    /// effect.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// The jitter of the pause in percent, up to 100, so that probes of many processes do not
    /// coincide.
    pub fn jitter(mut self, percent: u8) -> Self {
        self.jitter = percent;
        self
    }

    /// The timeout of one probe; more than zero. A probe that times out has failed.
    pub fn probe_within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The number of failures in a row after which the service is down; at least 1. Before that it is degraded.
    pub fn fall(mut self, failures: u32) -> Self {
        self.fall = failures;
        self
    }

    /// The number of successes in a row after which a service that was down is healthy; at least 1.
    pub fn rise(mut self, successes: u32) -> Self {
        self.rise = successes;
        self
    }

    /// The source of jitter.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Takes the name and seed from `base`: a file does not set them.
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), seed: base.seed.clone(), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), MonitorConfigError> {
        if self.every.is_zero() {
            return Err(MonitorConfigError::NoInterval);
        }
        if self.within.is_zero() {
            return Err(MonitorConfigError::NoTime);
        }
        if self.fall == 0 || self.rise == 0 {
            return Err(MonitorConfigError::NoThreshold);
        }
        if self.jitter > 100 {
            return Err(MonitorConfigError::JitterTooWide { percent: self.jitter });
        }
        Ok(())
    }
}

/// A [`Monitor`](crate::Monitor) could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorConfigError {
    /// `every` is zero.
    #[error("`every` must be greater than zero")]
    NoInterval,
    /// `probe_within` is zero.
    #[error("`probe_within` must be greater than zero")]
    NoTime,
    /// `fall` or `rise` is zero.
    #[error("`fall` and `rise` must be at least 1")]
    NoThreshold,
    /// `jitter` is more than 100 %.
    #[error("`jitter` is {percent} %; it must be 0 to 100 %")]
    JitterTooWide {
        /// The configured jitter.
        percent: u8,
    },
    /// There is no tokio runtime to run the probes.
    #[error("no Tokio runtime: probes run in the background of one")]
    NoRuntime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_config_is_read_back_and_other_fields_are_inherited() {
        for config in [
            MonitorConfig::new("any").every(Duration::MAX),
            MonitorConfig::new("any").jitter(0).probe_within(Duration::ZERO).fall(1).rise(7),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: MonitorConfig = serde_json::from_str(&text).unwrap();
            let again = again.inherit(&config);
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }
}
