use sandtower_core::MetricSource;

use crate::{Budget, BudgetSnapshot, Handle, Snapshot};

impl MetricSource for Handle {
    type Snapshot = Snapshot;
    const KIND: &'static str = "retry";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}

impl MetricSource for Budget {
    type Snapshot = BudgetSnapshot;
    const KIND: &'static str = "retry_budget";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
