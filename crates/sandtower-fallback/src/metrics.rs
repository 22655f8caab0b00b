use sandtower_core::MetricSource;

use crate::{FailoverHandle, FailoverSnapshot, Handle, Snapshot};

impl MetricSource for Handle {
    type Snapshot = Snapshot;
    const KIND: &'static str = "fallback";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for FailoverHandle {
    type Snapshot = FailoverSnapshot;
    const KIND: &'static str = "failover";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
