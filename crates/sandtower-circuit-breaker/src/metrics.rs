use sandtower_core::MetricSource;

use crate::{CircuitBreaker, CircuitBreakers, ScopeSnapshot, Snapshot};

impl MetricSource for CircuitBreaker {
    type Snapshot = Snapshot;
    const KIND: &'static str = "circuit_breaker";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for CircuitBreakers {
    type Snapshot = Vec<ScopeSnapshot>;
    const KIND: &'static str = "circuit_breakers";

    fn read(&self) -> Self::Snapshot {
        self.snapshots()
    }
}
