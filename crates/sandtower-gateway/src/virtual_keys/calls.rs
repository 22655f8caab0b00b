//! What the proxy does with virtual keys.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sandtower::e2b::SandboxId;

use super::account::{Call, Exceeded, Millis, SlotId};
use super::secret::Hash;
use super::{FromStock, Inner, Key, KeyId, VirtualKeys};

/// Why a call may start no sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    Revoked,
    Exceeded(Exceeded),
}

/// A place among the sandboxes of a key, for a call that is about to start one. Dropped without a word of
/// how the call ended, it stays taken until it is known what became of the call.
#[derive(Debug)]
#[must_use = "say how the call ended"]
pub(crate) struct Reservation {
    inner: Arc<Inner>,
    key: KeyId,
    slot: SlotId,
    since: Millis,
    change: u64,
    is_open: bool,
    is_tracked: bool,
}

impl VirtualKeys {
    /// The key that a request came with, be it revoked; `None`: it is no virtual key.
    pub(crate) fn find(&self, presented: &[u8]) -> Option<Arc<Key>> {
        if !self.inner.has_keys() {
            return None;
        }
        // Hashed outside of the lock.
        let (hash, now) = (Hash::of(presented), self.inner.clock.now());
        self.inner.book().by_hash(&hash, now).cloned()
    }

    /// Whose sandbox it is: of those that run, and those without a mark.
    pub(crate) fn owner_of(&self, sandbox: &SandboxId) -> Option<Arc<Key>> {
        if !self.inner.has_keys() {
            return None;
        }
        self.inner.book().owner(sandbox).map(|entry| Arc::clone(&entry.key))
    }

    /// Takes a place for a call that is about to create a sandbox, or to start one that was there before.
    pub(crate) fn reserve(&self, key: KeyId, creates: bool) -> Result<Reservation, NotAdmitted> {
        let now = self.inner.clock.now();
        let mut book = self.inner.book();
        let is_alive = book.entries.get(&key).is_some_and(|entry| !entry.key.is_revoked());
        let taken = if is_alive { book.reserve(key, creates, now) } else { None };
        let slot = taken.ok_or(NotAdmitted::Revoked)?.map_err(NotAdmitted::Exceeded)?;
        let (inner, change) = (Arc::clone(&self.inner), book.changes);
        Ok(Reservation { inner, key, slot, since: now, change, is_open: true, is_tracked: true })
    }

    /// Whether sandboxes of a key may run for longer.
    pub(crate) fn check_seconds(&self, key: KeyId) -> Result<(), NotAdmitted> {
        let now = self.inner.clock.now();
        let mut book = self.inner.book();
        let entry = book.at(key, now).ok_or(NotAdmitted::Revoked)?;
        let limits = entry.key.limits;
        entry.account.check_seconds(&limits, now).map_err(NotAdmitted::Exceeded)
    }

    /// How long the sandbox still runs, if it runs; `None` in it: that is not known.
    pub(crate) fn runs_for(&self, sandbox: &SandboxId) -> Option<Option<Duration>> {
        let now = self.inner.clock.now();
        let end = self.inner.book().end_of(sandbox)?;
        let left = |end: Millis| Duration::from_millis(end.saturating_sub(now));
        match end.map(left) {
            Some(Duration::ZERO) => None,
            left => Some(left),
        }
    }

    /// The sandbox ends after `left`, or, with `at_least`, not before. `None`: that is not known.
    pub(crate) fn ends_in(&self, sandbox: &SandboxId, left: Option<Duration>, at_least: bool) {
        let now = self.inner.clock.now();
        let ends = left.map(|left| now.saturating_add(millis(left)));
        self.inner.book().ends(sandbox, ends, at_least, now);
    }

    /// The sandbox does not run anymore. Waits until that is stored.
    pub(crate) async fn stopped(&self, sandbox: &SandboxId) {
        let change = {
            let mut book = self.inner.book();
            book.stopped(sandbox, self.inner.clock.now());
            book.changes
        };
        self.inner.stored(change).await;
    }
}

impl Reservation {
    /// Waits until it is stored: a process that is killed must not forget what it has let in. If the store
    /// is unavailable, the call goes on by the limits known.
    pub(crate) async fn stored(&self) {
        self.inner.stored(self.change).await;
    }

    /// For a pool, which may serve the call from stock.
    pub(crate) fn receiver(&self) -> Arc<FromStock> {
        let (inner, key, slot, since) = (Arc::clone(&self.inner), self.key, self.slot, self.since);
        let is_delivered = AtomicBool::new(false);
        Arc::new(FromStock { inner, key, slot, since, is_delivered })
    }

    /// A pool has served the call, and the place is that of its sandbox.
    pub(crate) fn served(mut self) {
        self.is_open = false;
    }

    /// No tracker looks for what the call may leave behind: it ends by itself, or its caller looks.
    pub(crate) fn untracked(&mut self) {
        self.is_tracked = false;
    }

    /// The call has started `sandbox`, which runs for so long. `None`: that is not known.
    pub(crate) fn runs(mut self, sandbox: &SandboxId, left: Option<Duration>) {
        self.is_open = false;
        let now = self.inner.clock.now();
        let ends = left.map(|left| now.saturating_add(millis(left)));
        self.inner.book().runs(self.key, self.slot, sandbox, ends, now);
    }

    /// The call has started nothing.
    pub(crate) fn started_nothing(mut self) {
        self.is_open = false;
        let now = self.inner.clock.now();
        self.inner.book().undo(self.key, self.slot, true, now);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_open {
            let call = if self.is_tracked { Call::Tracked } else { Call::Lost };
            self.inner.book().doubt(self.key, self.slot, call);
        }
    }
}

impl Inner {
    /// Waits until the changes up to this one are written; `false`: they are not.
    pub(super) async fn stored(&self, change: u64) -> bool {
        match &self.store {
            Some(store) => store.written(change).await,
            None => false,
        }
    }
}

pub(super) fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX / 2)
}
