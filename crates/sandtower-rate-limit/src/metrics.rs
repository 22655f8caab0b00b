use sandtower_core::MetricSource;

use crate::{RateLimit, Snapshot};

impl MetricSource for RateLimit {
    type Snapshot = Snapshot;
    const KIND: &'static str = "rate_limit";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
