use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::{Undrained, ledger::Ledger};

/// Reads the counters of a [`HealthCheckLayer`](crate::HealthCheckLayer)'s services, and drains them. Cheap
/// to clone.
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

    /// Waits until all discarded responses are released, at most for `within`. Call it before the program
    /// ends, once it sends no more requests.
    ///
    /// It works in any runtime: releases whose runtime has ended, and those of another runtime, which may
    /// be idle, start over in this one. If the future is dropped, they keep running.
    ///
    /// # Errors
    ///
    /// Some releases were still in progress after `within`.
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

/// Counters of a health check since its layer was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Responses of which a check was begun.
    pub checked: u64,
    /// Those that passed.
    pub passed: u64,
    /// Those that failed. The remaining ones are being checked, or their caller went away first.
    pub failed: u64,
    /// Responses that were not returned: those that failed, unless failures are only logged, and those whose
    /// caller went away during the check.
    pub discarded: u64,
    /// Discarded responses whose release has ended.
    pub discards_done: u64,
    /// Discarded responses whose release panicked.
    pub discards_lost: u64,
    /// Discarded responses whose release is in progress, or was interrupted and waits for
    /// [`drain`](Handle::drain).
    pub discards_under_way: u64,
}
