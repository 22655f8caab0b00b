use sandtower_core::MetricSource;

use crate::{RateLimit, RateLimits, Snapshot, TenantSnapshot};

impl MetricSource for RateLimit {
    type Snapshot = Snapshot;
    const KIND: &'static str = "rate_limit";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for RateLimits {
    type Snapshot = Vec<TenantSnapshot>;
    const KIND: &'static str = "rate_limits";

    fn read(&self) -> Self::Snapshot {
        self.snapshots()
    }
}
