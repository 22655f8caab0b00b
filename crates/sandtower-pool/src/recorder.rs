//! Records what happens to the stock, off the threads of the runtime.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::BoxError;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::engine::Engine;
use crate::items::Key;
use crate::locked::lock;
use crate::stock::{Step, Stock};
use crate::within::within;

/// How long a call waits for a step to be recorded. One that takes longer is recorded all the same, and the calls
/// that come meanwhile do not wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a failure it is tried again this much later.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// Records the steps of a pool in order, and knows which of them are written. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stock: Arc<dyn Stock>,
    /// They learn whether steps can be recorded: of a pool, and of those that follow it in this process.
    engines: Mutex<Vec<Weak<Mutex<Engine>>>>,
    queue: Mutex<Queue>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The last step of each creation and sandbox that has one to be recorded: bounded by the stock.
    steps: BTreeMap<Key, Step>,
    /// How many changes there were.
    changes: u64,
    is_writing: bool,
    /// Whether the last attempt failed: logged once.
    is_failing: bool,
    is_loaded: bool,
    is_closed: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("writing takes longer than {} s: the disk is slow", PATIENCE.as_secs())]
struct TooSlow;

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The changes up to this one are recorded.
    written: u64,
    /// How often it failed.
    failures: u64,
}

impl Recorder {
    pub(crate) fn new(stock: Arc<dyn Stock>, engine: &Arc<Mutex<Engine>>) -> Self {
        let (queue, progress) = (Mutex::default(), watch::Sender::new(Progress::default()));
        let engines = Mutex::new(vec![Arc::downgrade(engine)]);
        Self { inner: Arc::new(Inner { stock, engines, queue, progress }) }
    }

    /// Records for `engine`, too.
    pub(crate) fn also_for(&self, engine: &Arc<Mutex<Engine>>) -> Self {
        let mut engines = self.inner.engines();
        engines.retain(|engine| engine.strong_count() > 0);
        engines.push(Arc::downgrade(engine));
        drop(engines);
        self.clone()
    }

    /// What an earlier process left, as [`Stock::load`] has it. `None`: it was loaded before, or cannot be.
    pub(crate) async fn load(&self) -> Option<Option<Vec<Step>>> {
        let stock = Arc::clone(&self.inner.stock);
        let loaded = tokio::task::spawn_blocking(move || stock.load()).await;
        let loaded = loaded.unwrap_or_else(|error| Err(error.into()));
        self.inner.tell(loaded.as_ref().err());
        let left = loaded.ok()?;
        self.inner.queue().is_loaded = true;
        Some(left)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.inner.queue().is_loaded
    }

    /// Takes the steps in their order: called while the engine is locked.
    pub(crate) fn add(&self, steps: Vec<Step>) {
        let mut queue = self.inner.queue();
        queue.changes += 1;
        queue.steps.extend(steps.into_iter().map(|step| (step.key(), step)));
    }

    /// Begins to record, unless that is going on. Without a runtime, the next call does it.
    pub(crate) fn begin(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let is_needed = {
            let mut queue = self.inner.queue();
            let is_open = queue.is_loaded && !queue.is_closed;
            let is_needed = is_open && !queue.steps.is_empty() && !queue.is_writing;
            queue.is_writing |= is_needed;
            is_needed
        };
        if is_needed {
            let writing = Writing { inner: Arc::clone(&self.inner), taken: BTreeMap::new() };
            drop(runtime.spawn_blocking(move || writing.write()));
        }
    }

    /// Whether everything so far is recorded. `false`: it cannot be, and is tried again with what comes next.
    pub(crate) async fn written(&self) -> bool {
        let mut progress = self.inner.progress.subscribe();
        let failures = progress.borrow().failures;
        let change = {
            let queue = self.inner.queue();
            if !queue.is_loaded || queue.is_closed {
                return false;
            }
            queue.changes
        };
        self.begin();
        let is_known = |now: &Progress| now.written >= change || now.failures > failures;
        match within(PATIENCE, progress.wait_for(is_known)).await {
            Some(known) => known.is_ok_and(|progress| progress.written >= change),
            None => {
                self.inner.tell(Some(&TooSlow.into()));
                false
            }
        }
    }

    /// Nothing more is recorded for `engine`. After the last one, and what is being written, nothing is.
    pub(crate) async fn close(&self, engine: &Arc<Mutex<Engine>>) {
        let is_last = {
            let mut engines = self.inner.engines();
            engines.retain(|it| it.strong_count() > 0 && !it.ptr_eq(&Arc::downgrade(engine)));
            engines.is_empty()
        };
        if !is_last {
            return;
        }
        self.inner.queue().is_closed = true;
        let stock = Arc::clone(&self.inner.stock);
        drop(tokio::task::spawn_blocking(move || stock.close()).await);
    }

    /// Whether the last write failed; [`begin`](Self::begin) tries again.
    pub(crate) fn is_failing(&self) -> bool {
        self.inner.queue().is_failing
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engines(&self) -> MutexGuard<'_, Vec<Weak<Mutex<Engine>>>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with no lock held.
    fn tell(&self, error: Option<&BoxError>) {
        let is_failing = error.is_some();
        let before = std::mem::replace(&mut self.queue().is_failing, is_failing);
        let engines: Vec<_> = self.engines().iter().filter_map(Weak::upgrade).collect();
        engines.iter().for_each(|engine| lock(engine).set_recording(!is_failing));
        match error {
            Some(error) if !before => tracing::error!(
                target: "sandtower::pool",
                %error,
                "pool store unavailable, nothing is created for the stock or served from it"
            ),
            None if before => tracing::info!(target: "sandtower::pool", "pool store recovered"),
            _ => {}
        }
    }
}

/// What is being written. Dropped before it is, that has failed.
struct Writing {
    inner: Arc<Inner>,
    taken: BTreeMap<Key, Step>,
}

impl Writing {
    /// Until nothing is left, or it fails.
    fn write(mut self) {
        loop {
            let change = {
                let mut queue = self.inner.queue();
                if queue.steps.is_empty() || queue.is_closed {
                    return;
                }
                self.taken = std::mem::take(&mut queue.steps);
                queue.changes
            };
            let steps: Vec<_> = self.taken.values().cloned().collect();
            let recorded = self.inner.stock.record(&steps);
            self.inner.tell(recorded.as_ref().err());
            if recorded.is_err() {
                return;
            }
            self.taken.clear();
            self.inner.progress.send_modify(|progress| progress.written = change);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let has_failed = {
            let mut queue = self.inner.queue();
            queue.is_writing = false;
            for (key, step) in std::mem::take(&mut self.taken) {
                // Later ones have replaced it.
                queue.steps.entry(key).or_insert(step);
            }
            !queue.steps.is_empty()
        };
        if has_failed {
            self.inner.progress.send_modify(|progress| progress.failures += 1);
        }
    }
}
