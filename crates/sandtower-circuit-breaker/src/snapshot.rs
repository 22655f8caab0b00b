use std::time::Duration;

use sandtower_core::{Outcome, Verdict};
use serde::{Serialize, Serializer};

/// The state of a breaker. The words are the electrical ones: closed lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Lets every call through.
    Closed,
    /// Rejects every call.
    Open,
    /// Lets probes through, to see whether the service has recovered.
    HalfOpen,
}

impl State {
    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// All that a breaker knows, as of one instant.
///
/// Serializes flat but for `counters`; durations become whole milliseconds under names that end in
/// `_ms`, the outcome its [label](Outcome::label).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that its user gave the breaker.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Whether an operator forced it, so that it stays until released.
    pub forced: bool,
    /// Whether it is in [shadow mode](crate::Config::shadow): it lets every call through, and its
    /// state is the one that it would be in.
    pub shadow: bool,
    /// How long it has been in this state.
    #[serde(rename = "since_ms", serialize_with = "millis")]
    pub since: Duration,
    /// How many attempts may be in flight at a time: none while open, its probes while half-open, more
    /// with each response once it has closed again; `None`: any number.
    pub at_once: Option<u32>,
    /// How many calls failed since the service was last known to be healthy: since the
    /// [sum of evidence](crate::Cusum) was last zero, or in the present run of failures.
    pub recent_failures: u32,
    /// Out of how many.
    pub recent_calls: u32,
    /// What last counted against the service.
    #[serde(serialize_with = "label")]
    pub last_cause: Option<Outcome>,
    /// When a call that is rejected now should come back; `None` if it would be let through, or if it
    /// is not known.
    #[serde(rename = "retry_in_ms", serialize_with = "optional_millis")]
    pub retry_in: Option<Duration>,
    /// What has been counted since the breaker was created.
    pub counters: Counters,
}

/// What a breaker has counted since it was made; a reset leaves it alone.
///
/// Each outcome counts once: `late` if it could change nothing any more, else by what it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// The service did its work.
    pub succeeded: u64,
    /// Transient and unknown failures; failures to become ready among them.
    pub failed: u64,
    /// The service asked for fewer calls.
    pub throttled: u64,
    /// The service is alive and declined, permanent and exhausted, or one thing in it failed.
    pub declined: u64,
    /// Dropped before their response, whether that counted as a failure or not.
    pub cancelled: u64,
    /// Outcomes from before a change of state, and of probes that outlived their lease.
    pub late: u64,
    /// Calls that asked for a permit and were rejected or held back.
    pub rejected: u64,
    /// Calls that were let through in [shadow mode](crate::Config::shadow), and would have been
    /// rejected or held back else.
    pub would_reject: u64,
    /// Probes sent.
    pub probes: u64,
    /// Probes whose lease expired before another was sent in their place.
    pub expired_probes: u64,
    /// How often it opened, after a failed probe too; not when forced.
    pub trips: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, verdict: &Verdict) {
        match verdict.outcome {
            Outcome::Success => self.succeeded += 1,
            Outcome::Transient | Outcome::Unknown if verdict.is_failure() => self.failed += 1,
            Outcome::Transient | Outcome::Unknown => self.declined += 1,
            Outcome::Throttled => self.throttled += 1,
            Outcome::Exhausted | Outcome::Permanent => self.declined += 1,
            Outcome::Cancelled => self.cancelled += 1,
            // A layer below rejected: the service was not called.
            _ => {}
        }
    }
}

/// Whole milliseconds, rounded up: a caller that obeys them does not come too early.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_millis(*duration))
}

pub(crate) fn optional_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(whole_millis).serialize(serializer)
}

pub(crate) fn label<S: Serializer>(
    outcome: &Option<Outcome>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    outcome.map(Outcome::label).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use sandtower_core::Effect;

    use super::*;

    #[test]
    fn each_verdict_has_its_counter() {
        let failed = Verdict::transient(Effect::Maybe);
        let counted = |verdict: &Verdict| {
            let mut counters = Counters::default();
            counters.count(verdict);
            let Counters { succeeded, failed, declined, throttled, cancelled, .. } = counters;
            [succeeded, failed, declined, throttled, cancelled]
        };
        for (verdict, expected) in [
            (Verdict::success(), [1, 0, 0, 0, 0]),
            (failed, [0, 1, 0, 0, 0]),
            (Verdict::unknown(), [0, 1, 0, 0, 0]),
            // Not a failure of the service.
            (failed.about_one(), [0, 0, 1, 0, 0]),
            (Verdict::unknown().about_caller(), [0, 0, 1, 0, 0]),
            (Verdict::permanent(), [0, 0, 1, 0, 0]),
            (Verdict::exhausted(), [0, 0, 1, 0, 0]),
            (Verdict::throttled(), [0, 0, 0, 1, 0]),
            (Verdict::cancelled(), [0, 0, 0, 0, 1]),
        ] {
            assert_eq!(counted(&verdict), expected, "{verdict:?}");
        }
    }
}
