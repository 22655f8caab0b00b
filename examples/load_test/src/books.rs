//! The application's own counters during a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts of requests and their outcomes.
#[derive(Debug, Default)]
pub(crate) struct Books {
    sandboxes: AtomicU64,
    /// Each sandbox that was returned.
    handed_out: Mutex<Vec<String>>,
    requested: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

impl Books {
    /// A sandbox was returned; drop the guard when it is released.
    pub(crate) fn holds(&self, id: &str) -> Counted<'_> {
        lock(&self.handed_out).push(id.to_owned());
        Counted::one(&self.sandboxes)
    }

    /// An execution waits for one of the application's own slots.
    pub(crate) fn waits(&self) -> Counted<'_> {
        Counted::one(&self.waiting)
    }

    pub(crate) fn asks(&self) {
        self.requested.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, rejected: Option<&'static str>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = rejected {
            *lock(&self.rejected).entry(reason).or_default() += 1;
        }
    }

    pub(crate) fn look(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sandboxes: read(&self.sandboxes),
            requested: read(&self.requested),
            done: read(&self.done),
            failed: read(&self.failed),
            waiting: read(&self.waiting),
            rejected: lock(&self.rejected).clone(),
        }
    }

    pub(crate) fn handed_out(&self) -> Vec<String> {
        lock(&self.handed_out).clone()
    }
}

/// A snapshot of the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Sandboxes in use.
    pub(crate) sandboxes: u64,
    /// Executions begun.
    pub(crate) requested: u64,
    /// Executions that succeeded.
    pub(crate) done: u64,
    /// Executions that finally failed.
    pub(crate) failed: u64,
    /// Executions that wait for a slot of the application.
    pub(crate) waiting: u64,
    /// Executions that one of our own layers rejected, by reason.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
}

/// One more, until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn one(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
