//! What the application knows of itself while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts of what was asked for and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    sandboxes: AtomicU64,
    /// Each sandbox that was handed out.
    handed_out: Mutex<Vec<String>>,
    info: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

impl Books {
    /// A sandbox was handed out; drop the guard when it was given back.
    pub(crate) fn holds(&self, id: &str) -> Counted<'_> {
        lock(&self.handed_out).push(id.to_owned());
        Counted::one(&self.sandboxes)
    }

    /// Somebody waits for one of the application's own places.
    pub(crate) fn waits(&self) -> Counted<'_> {
        Counted::one(&self.waiting)
    }

    pub(crate) fn asks(&self) {
        self.info.fetch_add(1, Ordering::Relaxed);
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
            info: read(&self.info),
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

/// The books at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Sandboxes that are held.
    pub(crate) sandboxes: u64,
    /// Executions begun.
    pub(crate) info: u64,
    /// Executions that ended well.
    pub(crate) done: u64,
    /// Executions that failed for good.
    pub(crate) failed: u64,
    /// Executions that wait for a place of the application's own.
    pub(crate) waiting: u64,
    /// Executions that one of our own layers rejected, by its reason.
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
