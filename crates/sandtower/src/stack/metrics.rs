use super::{Handles, Snapshot};
use crate::core::{MetricSource, Operation};
use crate::e2b::operation;

impl MetricSource for Handles {
    type Snapshot = Snapshot;
    const KIND: &'static str = "stack";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }

    fn operations(&self) -> &'static [Operation] {
        operation::ALL
    }
}
