//! A stack as a file has it: see [`StackConfig`].

mod apply;
mod parts;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

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
/// operations are named as in [`e2b::operation`](crate::e2b::operation). Unknown names are rejected.
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
///
/// It is written as it is read: what is left out is not there, and read again it is the same. A time
/// that is no whole number of milliseconds cannot be written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StackConfig {
    /// Where the numbers begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What the team may do, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanName>,
    /// What the team may do, by numbers; counts before the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_plan: Option<CustomPlan>,
    /// The template in place of those that are not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_template: Option<String>,
    /// The parts to drop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Part>,
    /// How long calls may take, by operation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deadline: BTreeMap<OperationName, Limit>,
    /// How long attempts may take, by operation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub timeout: BTreeMap<OperationName, Limit>,
    /// Of retries.
    #[serde(skip_serializing_if = "is_left_out")]
    pub retry: RetryPart,
    /// Of the check of new sandboxes.
    #[serde(skip_serializing_if = "is_left_out")]
    pub health_check: HealthCheckPart,
    /// Of the waiting room.
    #[serde(skip_serializing_if = "is_left_out")]
    pub admission: AdmissionPart,
    /// Of the quota of sandboxes.
    #[serde(skip_serializing_if = "is_left_out")]
    pub quota: QuotaPart,
    /// Of the rate limit.
    #[serde(skip_serializing_if = "is_left_out")]
    pub rate_limit: RateLimitPart,
    /// Of the circuit breaker.
    #[serde(skip_serializing_if = "is_left_out")]
    pub circuit_breaker: CircuitBreakerPart,
    /// Of the look after the service on a schedule; left out: nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<MonitorPart>,
}

fn is_left_out<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
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
