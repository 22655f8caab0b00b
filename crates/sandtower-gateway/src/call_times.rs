//! How long calls take.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandtower::core::{CallEnd, ObserveCalls};
use sandtower::e2b::operation;
use sandtower_telemetry::Durations;

/// Histograms of calls and their stages, apart for each thread: threads that write to one counter wait for
/// each other.
#[derive(Clone, Debug)]
pub(crate) struct CallTimes(Arc<[Durations]>);

impl CallTimes {
    /// For so many threads, at least one; more threads share.
    pub(crate) fn new(threads: usize) -> Self {
        let one = |_| Durations::new(operation::GROUPS, operation::group);
        Self((0..threads.max(1)).map(one).collect())
    }

    /// Those of each thread.
    pub(crate) fn all(&self) -> &[Durations] {
        &self.0
    }
}

impl ObserveCalls for CallTimes {
    fn call_ended(&self, call: &CallEnd<'_>) {
        self.0[thread() % self.0.len()].call_ended(call);
    }
}

/// The number of the present thread: 0 for the first that has asked.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        let own = number.get().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        number.set(Some(own));
        own
    })
}
