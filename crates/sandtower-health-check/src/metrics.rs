use sandtower_core::MetricSource;

use crate::{Handle, Monitor, MonitorSnapshot, Snapshot};

impl MetricSource for Handle {
    type Snapshot = Snapshot;
    const KIND: &'static str = "health_check";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for Monitor {
    type Snapshot = MonitorSnapshot;
    const KIND: &'static str = "monitor";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
