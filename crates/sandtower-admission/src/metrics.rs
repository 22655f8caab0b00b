use sandtower_core::MetricSource;

use crate::{AdmissionControl, AdmissionSnapshot, Quota, QuotaSnapshot};

impl<G: Send + Sync + 'static> MetricSource for AdmissionControl<G> {
    type Snapshot = AdmissionSnapshot;
    const KIND: &'static str = "admission";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for Quota {
    type Snapshot = QuotaSnapshot;
    const KIND: &'static str = "quota";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
