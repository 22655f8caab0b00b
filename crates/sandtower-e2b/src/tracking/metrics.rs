use sandtower_core::MetricSource;

use super::{Events, EventsSnapshot, SandboxTracker, TrackerSnapshot};

impl MetricSource for SandboxTracker {
    type Snapshot = TrackerSnapshot;
    const KIND: &'static str = "tracker";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for Events {
    type Snapshot = EventsSnapshot;
    const KIND: &'static str = "creations";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
