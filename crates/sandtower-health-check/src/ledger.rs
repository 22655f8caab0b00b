use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{runtime, sync::Notify};

use crate::Counts;

/// Counts checks, and sees discards through to their end.
#[derive(Debug)]
pub(crate) struct Ledger {
    name: Arc<str>,
    counts: Mutex<Counts>,
    /// Notified when the last discard under way has ended.
    idle: Notify,
}

impl Ledger {
    pub(crate) fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Self { name, counts: Mutex::default(), idle: Notify::new() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.lock()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
    }

    /// Spawns `discard` on `runtime`. Without one it is lost, and told of.
    pub(crate) fn discard(
        self: &Arc<Self>,
        runtime: Option<&runtime::Handle>,
        discard: impl Future<Output = ()> + Send + 'static,
    ) {
        let discarding = Discarding::begin(Arc::clone(self));
        if let Some(runtime) = runtime {
            runtime.spawn(async move {
                discard.await;
                discarding.done();
            });
        }
    }

    /// Waits until no discard is under way.
    pub(crate) async fn idle(&self) {
        loop {
            // Before the count is read, or the last one could end unseen in between.
            let idle = self.idle.notified();
            if self.lock().discards_under_way == 0 {
                return;
            }
            idle.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A discard under way. Dropped before it is done, it is lost: it panicked, its runtime ended, or
/// there was none.
struct Discarding {
    ledger: Arc<Ledger>,
    done: bool,
}

impl Discarding {
    fn begin(ledger: Arc<Ledger>) -> Self {
        ledger.count(|counts| {
            counts.discarded += 1;
            counts.discards_under_way += 1;
        });
        Self { ledger, done: false }
    }

    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        let under_way = {
            let mut counts = self.ledger.lock();
            counts.discards_under_way -= 1;
            match self.done {
                true => counts.discards_done += 1,
                false => counts.discards_lost += 1,
            }
            counts.discards_under_way
        };
        if under_way == 0 {
            self.ledger.idle.notify_waiters();
        }
        if !self.done {
            tracing::warn!(
                target: "sandtower::health_check",
                name = self.ledger.name(),
                "a discarded answer was not released: its discard was cut short"
            );
        }
    }
}
