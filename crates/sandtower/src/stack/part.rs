use serde::{Deserialize, Serialize};

/// A part of the stack that can be dropped from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The deadline of calls.
    Deadline,
    /// The default template in place of one that is not found. Not there unless it is named.
    DefaultTemplate,
    /// Further attempts.
    Retry,
    /// The check of new sandboxes.
    HealthCheck,
    /// The limit on calls in flight, and the line: who would have to wait for a gate is rejected.
    Admission,
    /// The quota of sandboxes: who finds all of them in use waits until one ends.
    Quota,
    /// The rate limit.
    RateLimit,
    /// The circuit breaker.
    CircuitBreaker,
    /// The time-out of attempts.
    Timeout,
    /// The look after the service on a schedule. Not there unless it is asked for.
    Monitor,
}

impl Part {
    /// All parts: those that calls pass, from the outside in, then the monitor.
    pub const ALL: &[Self] = &[
        Self::Deadline,
        Self::DefaultTemplate,
        Self::Retry,
        Self::HealthCheck,
        Self::Admission,
        Self::Quota,
        Self::RateLimit,
        Self::CircuitBreaker,
        Self::Timeout,
        Self::Monitor,
    ];

    /// The name in configurations, snapshots and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::DefaultTemplate => "default_template",
            Self::Retry => "retry",
            Self::HealthCheck => "health_check",
            Self::Admission => "admission",
            Self::Quota => "quota",
            Self::RateLimit => "rate_limit",
            Self::CircuitBreaker => "circuit_breaker",
            Self::Timeout => "timeout",
            Self::Monitor => "monitor",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
