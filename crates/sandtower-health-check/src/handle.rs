use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::{Undrained, ledger::Ledger};

/// Reads what a [`HealthCheckLayer`](crate::HealthCheckLayer) has seen, over all services that it
/// made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    ledger: Arc<Ledger>,
}

impl Handle {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot()
    }

    /// Waits until all discarded responses are released, at most for `within`: for the end of a
    /// program, once it sends no more requests.
    ///
    /// It works in any runtime: releases that were interrupted, since their runtime ended, and those
    /// that began in another runtime, which may be idle, begin anew in this one. Dropped, it leaves
    /// them running.
    ///
    /// # Errors
    ///
    /// Some were still under way when the time was over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self, within: Duration) -> Result<(), Undrained> {
        tokio::time::timeout(within, self.ledger.drain())
            .await
            .map_err(|_| Undrained { left: self.snapshot().discards_under_way })
    }
}

/// What a health check has counted since its layer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Responses of which a check was begun.
    pub checked: u64,
    /// Those that passed.
    pub passed: u64,
    /// Those that failed. What is neither passed nor failed is still being checked, or its caller
    /// went first.
    pub failed: u64,
    /// Responses that were not returned: those that failed, unless failures are only warned of, and
    /// those whose caller went while they were checked.
    pub discarded: u64,
    /// Discarded responses whose release has ended.
    pub discards_done: u64,
    /// Discarded responses whose release panicked.
    pub discards_lost: u64,
    /// Discarded responses whose release is in progress, or was interrupted and waits for
    /// [`drain`](Handle::drain).
    pub discards_under_way: u64,
}
