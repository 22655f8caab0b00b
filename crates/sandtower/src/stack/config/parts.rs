use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::values::{OperationName, Time};

/// A plan, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanName {
    /// [`Plan::Hobby`](crate::stack::Plan::Hobby).
    Hobby,
    /// [`Plan::Pro`](crate::stack::Plan::Pro).
    Pro,
}

/// Numbers of one's own: [`Plan::Custom`](crate::stack::Plan::Custom).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CustomPlan {
    /// The time from one creation to the next.
    pub create_every: Time,
    /// Sandboxes that may exist at once.
    pub sandboxes: NonZeroU32,
    /// Creations in flight at once.
    pub concurrent_creates: NonZeroU32,
}

/// The waits before retries: `first`, doubling to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BackoffPart {
    /// The first wait.
    pub first: Time,
    /// The longest.
    pub most: Time,
    /// Whether each is drawn evenly from zero to what it would have been.
    #[serde(default)]
    pub jitter: bool,
}

/// What retries are paid from: see [`Budget::new`](crate::retry::Budget::new).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetPart {
    /// The share of a retry that each success pays: 0.001 to 1.
    pub ratio: f64,
    /// The most that is saved up.
    pub cap: NonZeroU32,
}

/// Of retries: see [`retry::Config`](crate::retry::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RetryPart {
    /// Attempts of one call, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
    /// Waits after transient failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transient: Option<BackoffPart>,
    /// Waits after being throttled by a service that does not say how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<BackoffPart>,
    /// Waits after failures of which nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<BackoffPart>,
    /// The longest wait that a service may ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_retry_after: Option<Time>,
    /// What retries are paid from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetPart>,
}

/// What becomes of a sandbox that fails its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFailure {
    /// It is killed, and another is made.
    Discard,
    /// Its caller gets it all the same.
    Warn,
}

/// How a new sandbox is found to be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProbeBy {
    /// It runs a command.
    Command,
    /// Its daemon says so.
    Health,
}

/// Of the check of new sandboxes: see [`health_check::Config`](crate::health_check::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HealthCheckPart {
    /// How a sandbox is found to be alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeBy>,
    /// What becomes of a sandbox that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// After how many probes in vain it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// How long one probe may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_within: Option<Time>,
    /// How long to wait between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Time>,
}

/// Of the waiting room: see [`admission::Config`](crate::admission::Config).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdmissionPart {
    /// Calls in flight at once, per operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The same for single operations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub concurrency_for: BTreeMap<OperationName, u32>,
    /// Calls that may wait, per operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// How long a line may be there before the newest in it goes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_first_after: Option<Time>,
    /// The same for single operations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub newest_first_after_for: BTreeMap<OperationName, Time>,
}

/// Of the quota of sandboxes: see [`QuotaConfig`](crate::admission::QuotaConfig).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct QuotaPart {
    /// Sandboxes that may exist at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How long to wait for one to end before one call tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<BetweenPart>,
    /// How long such a try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Time>,
}

/// A time that grows from one time to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BetweenPart {
    /// At first.
    pub first: Time,
    /// At most.
    pub most: Time,
}

/// What a rate limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// It counts and warns.
    Observe,
    /// It holds back what is too much.
    Enforce,
}

/// Of the rate limit: see [`rate_limit::Config`](crate::rate_limit::Config).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RateLimitPart {
    /// How far back attempts are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Time>,
    /// What to do about an attempt that is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Attempts within the window, of each operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_each: Option<u64>,
    /// The same for single operations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<OperationName, u64>,
    /// The time from one attempt to the next, for single operations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paces: BTreeMap<OperationName, Time>,
    /// At which parts of a limit to warn, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Vec<u8>>,
    /// The longest that one answer can hold an operation back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_hold: Option<Time>,
}

/// What a breaker does with a call while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenOpen {
    /// It rejects it.
    Reject,
    /// It holds it until the next probe is due.
    Hold,
}

/// Of the circuit breaker: see [`circuit_breaker::Config`](crate::circuit_breaker::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CircuitBreakerPart {
    /// Opens after so many failures with no success between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u32>,
    /// Opens once calls look more like an outage, by these shares of failures, than like a good day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidencePart>,
    /// Stays open for exactly so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for: Option<Time>,
    /// Stays open for a time that grows by half each time, jittered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_between: Option<BetweenPart>,
    /// Closed for so long, it begins with the first open time again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_after: Option<Time>,
    /// The most that a server can extend the open time to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_open: Option<Time>,
    /// Probes at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Probes that have to succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successes: Option<u32>,
    /// Answers until it lets everyone through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u32>,
    /// How long a probe may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Time>,
    /// What happens to a call while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_open: Option<WhenOpen>,
}

/// Of the look after the service on a schedule, which is off without this section: see
/// [`MonitorConfig`](crate::health_check::MonitorConfig).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MonitorPart {
    /// The pause between two probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Time>,
    /// By how many percent a pause is longer or shorter at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<u8>,
    /// How long one probe may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_within: Option<Time>,
    /// Failures in a row after which the service is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall: Option<u32>,
    /// Successes in a row after which it is well again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<u32>,
}

/// When a breaker opens, by evidence: see [`Cusum`](crate::circuit_breaker::Cusum).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EvidencePart {
    /// The share of calls that fail on a good day.
    pub good_day: f64,
    /// The share that fail in an outage.
    pub outage: f64,
}
