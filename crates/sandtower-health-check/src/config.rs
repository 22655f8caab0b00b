use std::sync::Arc;
use std::time::Duration;

/// What becomes of an answer that fails its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is released, and its caller gets [`Unhealthy`](crate::Unhealthy), which a retry may try
    /// again: nothing is left of the attempt. The default.
    #[default]
    Discard,
    /// It is reported, and its caller gets it all the same.
    Warn,
}

/// How a [`HealthCheckLayer`](crate::HealthCheckLayer) checks.
///
/// | setting | default | [`original`](Config::classic) |
/// |---|---|---|
/// | [`on_failure`](Config::on_failure) | discard | warn |
/// | [`tries`](Config::tries) | 3 | 1 |
/// | [`probe_within`](Config::probe_within) | 10 s | 10 s |
/// | [`pause`](Config::pause) | 250 ms | 250 ms |
#[derive(Clone, Debug)]
#[must_use = "a config does nothing by itself"]
pub struct Config {
    pub(crate) name: Arc<str>,
    pub(crate) on_failure: OnFailure,
    pub(crate) tries: u32,
    pub(crate) probe_within: Duration,
    pub(crate) pause: Duration,
}

impl Config {
    /// Discards what fails three probes. The `name` is for logs: whose answers these are.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            on_failure: OnFailure::Discard,
            tries: 3,
            probe_within: Duration::from_secs(10),
            pause: Duration::from_millis(250),
        }
    }

    /// The check of the application that this project began with: named `E2B`, one probe, and a
    /// warning at most. It set no time-out; here a probe has one.
    pub fn classic() -> Self {
        Self::new("E2B").on_failure(OnFailure::Warn).tries(1)
    }

    /// What becomes of an answer that fails its check.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// After how many probes in vain an answer has failed its check; at least 1.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// How long one probe may take; more than zero. All of a check takes at most this, and the
    /// [pause](Config::pause), times the [tries](Config::tries).
    pub fn probe_within(mut self, within: Duration) -> Self {
        self.probe_within = within;
        self
    }

    /// How long to wait between two probes of one answer.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
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

/// What is wrong with a [`Config`], and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Without a probe nothing is checked.
    #[error("a check without a probe checks nothing: it takes at least 1 try")]
    NoTries,
    /// A probe that may take no time never passes.
    #[error("a probe cannot be done in no time: it takes more than 0 s")]
    NoTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid_and_nonsense_is_not() {
        let new = || Config::new("any");
        assert_eq!(new().check(), Ok(()));
        assert_eq!(Config::classic().check(), Ok(()));
        assert_eq!(new().tries(0).check(), Err(ConfigError::NoTries));
        assert_eq!(new().probe_within(Duration::ZERO).check(), Err(ConfigError::NoTime));
    }
}
