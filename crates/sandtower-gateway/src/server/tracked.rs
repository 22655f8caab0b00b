use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts what is in flight. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    count: AtomicUsize,
    idle: Notify,
}

/// One of what is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Counter>);

impl Tracked {
    pub(crate) fn enter(&self) -> InFlight {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.count() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
