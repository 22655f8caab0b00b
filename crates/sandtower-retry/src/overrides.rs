use std::num::NonZeroU32;
use std::time::Duration;

use sandtower_core::Backoff;
use sandtower_core::settings::Time;
use serde::{Deserialize, Serialize};

/// How calls of one operation are retried, where that differs from the rest of the
/// [`Config`](crate::Config). What is not set is as for every operation.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use sandtower_core::Operation;
/// use sandtower_retry::{Config, Overrides};
///
/// const SEARCH: Operation = Operation::new(1, "search");
///
/// // Callers of a search have gone after 2 s.
/// let search = Overrides::new().attempts(NonZeroU32::MIN).max_elapsed(Duration::from_secs(2));
/// let config = Config::recommended().operation(SEARCH, search);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_elapsed: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transient: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    throttled: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<Schedule>,
}

/// A [`Backoff`] as a file has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Schedule(#[serde(with = "crate::config::backoff")] Backoff);

impl Overrides {
    /// Nothing differs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attempts of one call, the first included.
    #[must_use]
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The time after a call's arrival after which no retry begins.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = Some(Time(time));
        self
    }

    /// Waits after transient failures.
    #[must_use]
    pub fn transient(mut self, backoff: Backoff) -> Self {
        self.transient = Some(Schedule(backoff));
        self
    }

    /// Waits after being throttled by a service that does not say how long.
    #[must_use]
    pub fn throttled(mut self, backoff: Backoff) -> Self {
        self.throttled = Some(Schedule(backoff));
        self
    }

    /// Waits after failures of which nothing is known.
    #[must_use]
    pub fn unknown(mut self, backoff: Backoff) -> Self {
        self.unknown = Some(Schedule(backoff));
        self
    }

    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.max_elapsed.map(|Time(time)| time)
    }

    pub(crate) fn after_transient(&self) -> Option<Backoff> {
        self.transient.map(|Schedule(backoff)| backoff)
    }

    pub(crate) fn after_throttled(&self) -> Option<Backoff> {
        self.throttled.map(|Schedule(backoff)| backoff)
    }

    pub(crate) fn after_unknown(&self) -> Option<Backoff> {
        self.unknown.map(|Schedule(backoff)| backoff)
    }
}
