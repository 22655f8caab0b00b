//! A stack as a file has it: see [`StackConfig`].

mod apply;
mod parts;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use self::parts::{
    AdmissionPart, BackoffPart, BetweenPart, BudgetPart, CircuitBreakerPart, CustomPlan,
    EvidencePart, HealthCheckPart, Mode, MonitorPart, OnFailure, PlanName, ProbeBy, QuotaPart,
    RateLimitPart, RetryPart, WhenOpen,
};
pub use self::values::{Limit, OperationName, Time};

use super::{Part, Preset};

/// A [`Stack`](crate::stack::Stack) as a file has it: what is left out stays as the preset and the
/// plan make it.
///
/// For any format that serde knows. Times are texts such as `"250ms"`, `"30s"`, `"2m"` and `"1h"`;
/// operations are named as in [`e2b::operation`](crate::e2b::operation). Unknown names are refused.
/// The key to E2B does not belong into a file: it comes with the [`Config`](crate::e2b::Config).
///
/// ```
/// use sandtower::e2b::Config;
/// use sandtower::stack::{Stack, StackConfig};
///
/// let text = r#"
///     plan = "pro"
///     default_template = "base"
///     without = ["health_check"]
///
///     [timeout]
///     file_read = "10s"
///
///     [retry]
///     attempts = 3
///     transient = { first = "500ms", most = "10s", jitter = true }
///
///     [circuit_breaker]
///     consecutive_failures = 5
///     open_for = "30s"
/// "#;
/// let config = StackConfig::read(toml::Deserializer::parse(text)?)?;
/// let stack = Stack::builder(Config::new("e2b_0123")?).configure(config)?.build()?;
/// # let _ = stack;
/// # Ok::<(), sandtower::core::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StackConfig {
    /// Where the numbers begin.
    pub preset: Option<Preset>,
    /// What the team may do, by name.
    pub plan: Option<PlanName>,
    /// What the team may do, by numbers; counts before the name.
    pub custom_plan: Option<CustomPlan>,
    /// The template in place of those that are not found.
    pub default_template: Option<String>,
    /// The parts to drop.
    pub without: Vec<Part>,
    /// How long calls may take, by operation.
    pub deadline: BTreeMap<OperationName, Limit>,
    /// How long attempts may take, by operation.
    pub timeout: BTreeMap<OperationName, Limit>,
    /// Of retries.
    pub retry: RetryPart,
    /// Of the check of new sandboxes.
    pub health_check: HealthCheckPart,
    /// Of the waiting room.
    pub admission: AdmissionPart,
    /// Of the quota of sandboxes.
    pub quota: QuotaPart,
    /// Of the rate limit.
    pub rate_limit: RateLimitPart,
    /// Of the circuit breaker.
    pub circuit_breaker: CircuitBreakerPart,
    /// Of the look after the service on a schedule; left out: nothing does.
    pub monitor: Option<MonitorPart>,
}

impl StackConfig {
    /// Reads it, and says by its whole name what cannot be read.
    ///
    /// # Errors
    ///
    /// Something has a name that is not known, or a value that makes no sense there.
    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, StackConfigError> {
        serde_path_to_error::deserialize(from).map_err(|error| {
            let why = error.inner().to_string();
            StackConfigError::at(error.path().to_string(), why)
        })
    }
}

/// A configuration that makes no sense: which value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct StackConfigError {
    name: String,
    why: String,
}

impl StackConfigError {
    fn at(name: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self { name: name.into(), why: why.to_string().trim_end().to_owned() }
    }

    /// The whole name of the value, such as `retry.transient.first`.
    pub fn name(&self) -> &str {
        &self.name
    }
}
