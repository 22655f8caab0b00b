use std::sync::Arc;
use std::time::Duration;

use sandtower_core::settings::duration;
use serde::{Deserialize, Serialize};

/// How to handle a response that fails its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFailure {
    /// Release it and return [`Unhealthy`](crate::Unhealthy) to the caller, which a retry may try again:
    /// nothing of the attempt is left. The default.
    #[default]
    Discard,
    /// Log it, and return the response to the caller nevertheless.
    Warn,
}

/// How a [`HealthCheckLayer`](crate::HealthCheckLayer) checks.
///
/// | setting | default | [`classic`](Config::classic) |
/// |---|---|---|
/// | [`on_failure`](Config::on_failure) | discard | warn |
/// | [`tries`](Config::tries) | 3 | 1 |
/// | [`probe_within`](Config::probe_within) | 10 s | 10 s |
/// | [`pause`](Config::pause) | 250 ms | 250 ms |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a config does nothing by itself"]
pub struct Config {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    pub(crate) on_failure: OnFailure,
    pub(crate) tries: u32,
    #[serde(with = "duration")]
    pub(crate) probe_within: Duration,
    #[serde(with = "duration")]
    pub(crate) pause: Duration,
}

impl Config {
    /// Discards responses that fail three probes. The `name` of the service is for logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            on_failure: OnFailure::Discard,
            tries: 3,
            probe_within: Duration::from_secs(10),
            pause: Duration::from_millis(250),
        }
    }

    /// One probe, and only a warning; named `E2B`.
    pub fn classic() -> Self {
        Self::new("E2B").on_failure(OnFailure::Warn).tries(1)
    }

    /// How to handle a response that fails its check.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// The number of failed probes after which a response fails its check; at least 1.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// The timeout of one probe; more than zero. A whole check takes at most this plus the
    /// [pause](Config::pause), times the [tries](Config::tries).
    pub fn probe_within(mut self, within: Duration) -> Self {
        self.probe_within = within;
        self
    }

    /// The pause between two probes of one response; the last quarter is randomised.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Takes the name from `base`: a file does not set it.
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.tries == 0 {
            return Err(ConfigError::NoTries);
        }
        if self.probe_within.is_zero() {
            return Err(ConfigError::NoTime);
        }
        Ok(())
    }
}

/// An invalid [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `tries` is zero.
    #[error("`tries` must be at least 1")]
    NoTries,
    /// `probe_within` is zero.
    #[error("`probe_within` must be greater than zero")]
    NoTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid_and_zero_is_not() {
        let new = || Config::new("any");
        assert_eq!(new().check(), Ok(()));
        assert_eq!(Config::classic().check(), Ok(()));
        assert_eq!(new().tries(0).check(), Err(ConfigError::NoTries));
        assert_eq!(new().probe_within(Duration::ZERO).check(), Err(ConfigError::NoTime));
    }

    #[test]
    fn a_written_config_is_read_back_and_other_fields_are_inherited() {
        for config in [
            Config::new("any").probe_within(Duration::MAX),
            Config::classic().pause(Duration::ZERO),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: Config = serde_json::from_str(&text).unwrap();
            let again = again.inherit(&config);
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }
}
