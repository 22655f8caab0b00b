use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower_core::Tick;
use tokio::{runtime, sync::Notify};

use super::below::Below;
use super::book::Book;
use super::reaper::reap;
use super::snapshot::{CreationsSnapshot, Unsettled};
use super::timing::{Timing, TimingError};
use crate::{Config, Marks, SandboxId};

/// Looks after what was made, or may have been, and is held by nobody. Cheap to clone; one for each
/// account, shared by the layers of a stack.
///
/// - An attempt to make a sandbox that ended without a known result is watched for as long as its
///   sandbox may still turn up; whatever turns up is killed, unless its call has adopted it.
/// - A sandbox that nobody gets is killed, and the kill is tried again until it succeeds.
///
/// One task does so, started when there is something to do and ended when there is not; it outlives
/// callers, and sends its requests through the service below the layer that started it. What it
/// cannot settle it gives up in the end, with a warning and an entry in the
/// [snapshot](Creations::snapshot).
///
/// # Events
///
/// With the target `sandtower::e2b`, all `WARN`: something was given up (`call_id`, `sandbox_id`),
/// and something was left to nobody since there was no runtime to run the task on.
#[derive(Clone)]
pub struct Creations {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) timing: Timing,
    state: Mutex<State>,
    /// There is something new to do.
    pub(super) work: Notify,
    /// Something was settled or released.
    pub(super) settled: Notify,
}

pub(super) struct State {
    pub(super) book: Book,
    pub(super) is_running: bool,
    /// By which the task that runs sends; of the last who had something for it. Not kept beyond, for
    /// it may hold this account itself.
    pub(super) below: Option<Arc<dyn Below>>,
}

impl Creations {
    /// The account of what clients of `config` make, with the default [`Timing`].
    pub fn new(config: &Config) -> Self {
        Self::checked(config, Timing::default())
    }

    /// The account of what clients of `config` make.
    ///
    /// # Errors
    ///
    /// The timing makes no sense; the error says what would.
    pub fn with_timing(config: &Config, timing: Timing) -> Result<Self, TimingError> {
        timing.check()?;
        Ok(Self::checked(config, timing))
    }

    fn checked(config: &Config, timing: Timing) -> Self {
        let book = Book::new(timing, config.rng());
        let state = State { book, is_running: false, below: None };
        let shared = Shared {
            config: Arc::new(config.clone()),
            timing,
            state: Mutex::new(state),
            work: Notify::new(),
            settled: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What became of it all so far.
    pub fn snapshot(&self) -> CreationsSnapshot {
        self.shared.state().book.snapshot()
    }

    /// Waits until nothing is open and nothing is being killed, at most for `within`: for the end of
    /// a program, once it makes no more sandboxes. An attempt without a known result stays open for
    /// about 2 minutes. What is under way goes on, whatever comes of waiting. Dropped, it changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// Something was still open when the time was over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self, within: Duration) -> Result<(), Unsettled> {
        let idle = self.settled_when(|book| book.is_idle());
        let in_time = crate::within::within(Some(within), idle).await;
        in_time.ok_or_else(|| Unsettled { left: self.shared.state().book.left() })
    }

    /// Waits until `sandbox` is no longer being killed: it has ended, or was given up.
    pub(crate) async fn released(&self, sandbox: &SandboxId) {
        self.settled_when(|book| !book.is_releasing(sandbox)).await;
    }

    async fn settled_when(&self, holds: impl Fn(&Book) -> bool) {
        loop {
            // Before the book is read, or the last change could be missed in between.
            let settled = self.shared.settled.notified();
            if holds(&self.shared.state().book) {
                return;
            }
            settled.await;
        }
    }

    /// An attempt ended, and nobody knows what it made.
    pub(super) fn abandon(&self, attempt: Marks, sent: Tick, not_before: Tick, by: &Reaping) {
        self.start(by, |book, now| book.abandon(attempt, sent, not_before, now));
    }

    /// It is known what `attempt` made.
    pub(super) fn settle(&self, attempt: &Marks) {
        self.shared.state().book.settle(attempt);
        self.shared.settled.notify_waiters();
    }

    pub(super) fn look_within(&self) -> Duration {
        self.shared.timing.look_within
    }

    pub(super) fn count_adopted(&self) {
        self.shared.state().book.adopted();
    }

    /// Takes a sandbox that `attempt` has made for its own call. `false`: it is being released.
    pub(super) fn adopt(&self, attempt: Marks, sandbox: &SandboxId) -> bool {
        let adopts = self.shared.state().book.adopt(attempt, sandbox);
        self.shared.settled.notify_waiters();
        adopts
    }

    /// Nobody holds `sandbox`.
    pub(crate) fn release(&self, sandbox: SandboxId, by: &Reaping) {
        self.start(by, |book, now| book.release(sandbox, now));
    }

    fn start(&self, by: &Reaping, change: impl FnOnce(&mut Book, Tick)) {
        let starts = {
            let mut state = self.shared.state();
            change(&mut state.book, Tick::now());
            state.below = Some(Arc::clone(&by.below));
            !std::mem::replace(&mut state.is_running, true)
        };
        self.shared.work.notify_one();
        if starts {
            let reaper = reap(Arc::clone(&self.shared));
            match &by.runtime {
                Some(runtime) => drop(runtime.spawn(reaper)),
                None => drop(reaper),
            }
        }
    }
}

/// How the reaper is started: by which service it sends, and where it runs.
#[derive(Clone)]
pub(crate) struct Reaping {
    pub(super) below: Arc<dyn Below>,
    /// Where the call was made: its future may be dropped anywhere.
    pub(super) runtime: Option<runtime::Handle>,
}

impl Reaping {
    pub(crate) fn here(below: Arc<dyn Below>) -> Self {
        Self { below, runtime: runtime::Handle::try_current().ok() }
    }

    /// The same; where the call was made in no runtime, in that of now.
    pub(crate) fn or_here(&self) -> Self {
        let runtime = self.runtime.clone().or_else(|| runtime::Handle::try_current().ok());
        Self { below: Arc::clone(&self.below), runtime }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Creations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Creations").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}
