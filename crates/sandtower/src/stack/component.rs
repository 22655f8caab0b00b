use serde::{Deserialize, Serialize};

/// A component of the stack that can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Component {
    /// The deadline of calls.
    Deadline,
    /// The default template for one that does not exist. Off unless one is configured.
    DefaultTemplate,
    /// Retries.
    Retry,
    /// The check of new sandboxes.
    HealthCheck,
    /// The limit on concurrency, and the queue: without it, a call that would have to wait for a gate is
    /// rejected.
    Admission,
    /// The quota of sandboxes: a creation that finds all of them in use waits until one ends.
    Quota,
    /// The rate limit.
    RateLimit,
    /// The circuit breakers.
    CircuitBreaker,
    /// The timeout of attempts.
    Timeout,
    /// Periodic health probe of the service. Off by default.
    Monitor,
    /// The warm pool. Off by default; it needs the feature `pool`.
    Pool,
}

impl Component {
    /// All components: those of calls, from the outside in, then the monitor and the pool.
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
        Self::Pool,
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
            Self::Pool => "pool",
        }
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
