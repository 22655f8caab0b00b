use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sandtower::e2b::Unclaimed;

/// What is known of the requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    begun: AtomicU64,
    active: AtomicUsize,
    has_unclaimed: AtomicBool,
    unclaimed: Mutex<Vec<Unclaimed>>,
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
    pub(crate) fn claim_when_flushed(&self, unclaimed: Unclaimed) {
        self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner).push(unclaimed);
        self.has_unclaimed.store(true, Ordering::Release);
    }

    /// The socket has taken all that was written.
    pub(super) fn flushed(&self) {
        if self.has_unclaimed.swap(false, Ordering::Acquire) {
            let all =
                std::mem::take(&mut *self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner));
            all.iter().for_each(Unclaimed::claim);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
