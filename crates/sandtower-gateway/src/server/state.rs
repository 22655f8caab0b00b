use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sandtower::e2b::Unclaimed;

use crate::journal::Entry;

/// What is known of the requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    begun: AtomicU64,
    active: AtomicUsize,
    has_unclaimed: AtomicBool,
    unclaimed: Mutex<Vec<Claim>>,
}

/// A sandbox that becomes its caller's. Dropped before that, it is killed.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) unclaimed: Unclaimed,
    /// Dropped after the sandbox was given to the tracker.
    pub(crate) entry: Option<Entry>,
}

impl Claim {
    fn claim(self) {
        self.unclaimed.claim();
        if let Some(entry) = self.entry {
            entry.taken();
        }
    }
}

/// A request of a connection, until its response has ended.
#[derive(Debug)]
pub(crate) struct Active(Arc<ConnectionState>);

impl ConnectionState {
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }

    /// The response to a creation was handed to the connection: once the socket has taken it, the sandbox
    /// is its caller's. If the connection breaks before that, the sandbox is killed.
    pub(crate) fn claim_when_flushed(&self, claim: Claim) {
        self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
        self.has_unclaimed.store(true, Ordering::Release);
    }

    /// The socket has taken all that was written.
    pub(super) fn flushed(&self) {
        if self.has_unclaimed.swap(false, Ordering::Acquire) {
            let all =
                std::mem::take(&mut *self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner));
            all.into_iter().for_each(Claim::claim);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
