//! A place of a call that is served from a warm pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sandtower::e2b::SandboxId;
use sandtower::pool::{Assigned, Receive};

use super::account::{Millis, SlotId};
use super::calls::millis;
use super::{Inner, KeyId};

/// Tells the book which sandbox the call of a place gets from stock, before the call does.
#[derive(Debug)]
pub(crate) struct FromStock {
    pub(super) inner: Arc<Inner>,
    pub(super) key: KeyId,
    pub(super) slot: SlotId,
    /// When the place was taken.
    pub(super) since: Millis,
    pub(super) is_delivered: AtomicBool,
}

impl FromStock {
    /// Whether the call was served from stock.
    pub(crate) fn is_delivered(&self) -> bool {
        self.is_delivered.load(Ordering::Acquire)
    }
}

impl Receive for FromStock {
    fn assigned<'a>(&'a self, sandbox: &'a SandboxId) -> Assigned<'a> {
        let change = {
            let now = self.inner.clock.now();
            let mut book = self.inner.book();
            book.assign(self.key, self.slot, sandbox, now);
            book.changes
        };
        // Not known after a restart, it would be no key's.
        Box::pin(self.inner.stored(change))
    }

    fn withdrawn(&self, sandbox: &SandboxId) {
        self.inner.book().withdraw(self.key, self.slot, sandbox, self.since);
    }

    fn delivered(&self, sandbox: &SandboxId, lives: Duration) {
        let now = self.inner.clock.now();
        let ends = now.saturating_add(millis(lives));
        self.inner.book().ends(sandbox, Some(ends), false, now);
        self.is_delivered.store(true, Ordering::Release);
    }
}
