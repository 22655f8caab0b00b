use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{runtime, sync::Notify};

use crate::Snapshot;

/// Snapshot checks, and sees releases through to their end.
#[derive(Debug)]
pub(crate) struct Ledger {
    name: Arc<str>,
    state: Mutex<State>,
    /// Notified when a release ended or was interrupted.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    counts: Snapshot,
    releases: BTreeMap<u64, Entry>,
    /// Numbers releases and the tasks that run them.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    release: Arc<dyn Release>,
    /// The task that runs it; `None`: it was interrupted, or there was no runtime.
    task: Option<Task>,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    number: u64,
    runtime: runtime::Id,
}

/// The release of one discarded response. It can start over.
pub(crate) trait Release: std::fmt::Debug + Send + Sync {
    fn begin(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl Ledger {
    pub(crate) fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Self { name, state: Mutex::default(), changed: Notify::new() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let discards_under_way = u64::try_from(state.releases.len()).unwrap_or(u64::MAX);
        Snapshot { discards_under_way, ..state.counts }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock().counts);
    }

    /// Runs `release` on `runtime`. Without one it waits for [`drain`](Self::drain).
    pub(crate) fn discard(
        self: &Arc<Self>,
        runtime: Option<&runtime::Handle>,
        release: Arc<dyn Release>,
    ) {
        let number = {
            let mut state = self.lock();
            state.counts.discarded += 1;
            let number = state.number();
            state.releases.insert(number, Entry { release, task: None });
            number
        };
        match runtime {
            Some(runtime) => self.run(number, runtime),
            None => self.warn_cut_short(),
        }
    }

    /// Starts a release over, in place of the task that ran it before.
    fn run(self: &Arc<Self>, release: u64, runtime: &runtime::Handle) {
        let (begin, running) = {
            let mut state = self.lock();
            let task = Task { number: state.number(), runtime: runtime.id() };
            let Some(entry) = state.releases.get_mut(&release) else { return };
            entry.task = Some(task);
            let ledger = Arc::clone(self);
            let running = Running { ledger, release, task: task.number, done: false };
            (Arc::clone(&entry.release), running)
        };
        runtime.spawn(async move {
            let mut running = running;
            begin.begin().await;
            running.done = true;
        });
    }

    /// Waits until no release is left. Takes over those that were interrupted, and those of other runtimes,
    /// which may be idle or end at any time.
    pub(crate) async fn drain(self: &Arc<Self>) {
        let here = runtime::Handle::current();
        let mut takes_over_from_others = true;
        loop {
            // Registered before the releases are read; otherwise the end of the last one could be missed.
            let changed = self.changed.notified();
            let (left, mine) = {
                let state = self.lock();
                let is_mine = |entry: &Entry| match entry.task {
                    None => true,
                    Some(task) => takes_over_from_others && task.runtime != here.id(),
                };
                let mine = state.releases.iter().filter(|(_, entry)| is_mine(entry));
                (state.releases.len(), mine.map(|(number, _)| *number).collect::<Vec<_>>())
            };
            if left == 0 {
                return;
            }
            // Once: two concurrent drains would take over from each other forever.
            takes_over_from_others = false;
            mine.into_iter().for_each(|number| self.run(number, &here));
            changed.await;
        }
    }

    fn warn_cut_short(&self) {
        tracing::warn!(
            target: "sandtower::health_check",
            name = &*self.name,
            "release of a discarded response interrupted, it starts over on the next drain"
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A running release. If dropped before its end, it panicked, or its runtime has ended.
struct Running {
    ledger: Arc<Ledger>,
    release: u64,
    task: u64,
    done: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let is_lost = !self.done && std::thread::panicking();
        let mut state = self.ledger.lock();
        let mut over = None;
        let mut was_cut_short = false;
        if self.done || is_lost {
            over = state.releases.remove(&self.release);
            if over.is_some() {
                state.counts.discards_done += u64::from(self.done);
                state.counts.discards_lost += u64::from(is_lost);
            }
        } else if let Some(entry) = state.releases.get_mut(&self.release)
            && entry.task.is_some_and(|task| task.number == self.task)
        {
            entry.task = None;
            was_cut_short = true;
        }
        drop(state);
        self.ledger.changed.notify_waiters();
        if was_cut_short {
            self.ledger.warn_cut_short();
        } else if is_lost && over.is_some() {
            tracing::warn!(
                target: "sandtower::health_check",
                name = &*self.ledger.name,
                "release of a discarded response panicked"
            );
        }
    }
}
