use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower_core::{MetricSource, Tick};
use sandtower_e2b::{
    Client, Config as E2bConfig, Sandbox, SandboxCheck, SandboxId, SandboxTracker,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::below::Below;
use crate::engine::{Engine, Moment, PoolSnapshot, Room};
use crate::hooks::Hook;
use crate::items::SessionOf;
use crate::locked::{Begins, Locked, lock};
use crate::recorder::Recorder;
use crate::shape::Wanted;
use crate::stock::Stock;
use crate::succession::Before;
use crate::wall::Wall;
use crate::{Config, OnShutdown};

/// A warm pool: a handle, cheap to clone. Clones, and the services of its
/// [`PoolLayer`](crate::PoolLayer), share one stock.
///
/// A task creates and kills the stock. It starts with the first service that is [used](crate::Pooled::start), runs in
/// the tokio runtime of that call, and ends with the last handle or service, or with
/// [`shut_down`](Self::shut_down). If its runtime ends, the next call starts another.
///
/// # Events
///
/// With the target `sandtower::pool`: creations of a shape are suspended after three failures (`WARN`;
/// `template`, `error`, `again_in_ms`), a creation failed (`INFO`; `template`, `error`), a warm sandbox was
/// dead (`WARN`; `sandbox_id`, `error`), a template was built anew (`INFO`; `template`), wall time jumped (`WARN`), stock of an earlier process was found
/// (`INFO`; `killed`, `adopted`), or recorded by it (`INFO`; `left`), the store cannot be used (`ERROR`; `error`) or can be used again (`INFO`), and
/// the stock was killed at shutdown (`INFO`; `sandboxes`).
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) running: Arc<Running>,
}

/// Ends the task when the last handle is dropped: the task holds only the state.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

pub(crate) struct Shared {
    engine: Arc<Mutex<Engine>>,
    /// `None`: the stock is in memory alone.
    pub(crate) recorder: Option<Recorder>,
    /// There is something to decide.
    pub(crate) work: Notify,
    pub(crate) e2b: E2bConfig,
    pub(crate) config: Config,
    pub(crate) tracker: SandboxTracker,
    pub(crate) check: SandboxCheck,
    pub(crate) room: Box<dyn Fn() -> Room + Send + Sync>,
    pub(crate) wall: Box<dyn Fn() -> Wall + Send + Sync>,
    pub(crate) warm_up: Option<Hook>,
    pub(crate) clean: Hook,
    /// The pool that this one follows.
    pub(crate) before: Option<Before>,
    /// Distinguishes the stock of this process from that of an earlier one.
    pub(crate) instance: String,
    /// Sandboxes that may be used again.
    pub(crate) used: Mutex<BTreeMap<SandboxId, Used>>,
    worker: Mutex<Worker>,
}

/// A sandbox that a session uses.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) sandbox: Sandbox,
    pub(crate) wanted: Wanted,
    pub(crate) session: SessionOf,
    pub(crate) uses: u32,
    pub(crate) created: Tick,
}

/// The task that creates and kills.
#[derive(Debug, Default)]
struct Worker {
    /// The number of the latest.
    number: u64,
    is_running: bool,
    task: Option<AbortHandle>,
    /// The layers below, as of the latest call.
    below: Option<Below>,
    is_stopped: bool,
    /// Until it is allowed to start.
    waits: bool,
}

impl Shared {
    pub(crate) fn new(engine: Engine, stock: Option<Arc<dyn Stock>>, parts: Parts) -> Self {
        let Parts { e2b, config, tracker, check, room, wall, .. } = parts;
        let Parts { warm_up, clean, before, instance, waits, .. } = parts;
        let engine = Arc::new(Mutex::new(engine));
        let shares = || before.as_ref().and_then(|before| before.recorder(&config, &engine));
        let recorder = match stock {
            Some(stock) => Some(Recorder::new(stock, &engine)),
            None => shares(),
        };
        if recorder.is_some() {
            lock(&engine).begin_recording();
        }
        Self {
            engine,
            recorder,
            work: Notify::new(),
            e2b,
            config,
            tracker,
            check,
            room,
            wall,
            warm_up,
            clean,
            before,
            instance,
            used: Mutex::default(),
            worker: Mutex::new(Worker { waits, ..Worker::default() }),
        }
    }

    pub(crate) fn engine(&self) -> Locked<'_> {
        // The user's clock is read without a lock.
        let recorder = self.recorder.as_ref().map(|recorder| (recorder, self.moment()));
        Locked { engine: lock(&self.engine), recorder, begins: Begins(None) }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { now: Tick::now(), wall: (self.wall)() }
    }

    /// Whether all that happened so far outlives this process, as far as it is to.
    pub(crate) async fn is_recorded(&self) -> bool {
        match &self.recorder {
            Some(recorder) => recorder.written().await,
            None => true,
        }
    }

    /// A client for the pool's own requests.
    pub(crate) fn client(&self, below: &Below) -> Client<Below> {
        Client::new(below.clone(), self.e2b.clone()).tracker(self.tracker.clone())
    }

    /// Starts the task in the current runtime, unless one is running, or once it may start. `false`: there is no
    /// runtime.
    pub(crate) fn start(self: &Arc<Self>, below: impl FnOnce() -> Below) -> bool {
        let is_needed = |worker: &Worker| {
            let has_waited = !worker.waits || worker.below.is_none();
            !worker.is_running && !worker.is_stopped && has_waited
        };
        if !is_needed(&self.worker()) {
            return true;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
        // The user's service is cloned and dropped without a lock.
        let below = below();
        let (number, before) = {
            let mut worker = self.worker();
            if !is_needed(&worker) {
                return true;
            }
            if worker.waits {
                worker.below = Some(below);
                return true;
            }
            worker.number += 1;
            worker.is_running = true;
            (worker.number, worker.below.replace(below.clone()))
        };
        drop(before);
        self.take_over();
        let running = IsRunning { shared: Arc::clone(self), number };
        let task = runtime.spawn(crate::worker::work(running, below)).abort_handle();
        let mut worker = self.worker();
        if worker.is_stopped {
            task.abort();
        } else if worker.number == number {
            worker.task = Some(task);
        }
        true
    }

    fn allow_start(self: &Arc<Self>) {
        let below = {
            let mut worker = self.worker();
            worker.waits = false;
            worker.below.clone()
        };
        if let Some(below) = below {
            self.start(|| below);
        }
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task for good. Returns the layers below, if there was one.
    fn stop(&self) -> Option<Below> {
        let mut worker = self.worker();
        worker.is_stopped = true;
        let (task, below) = (worker.task.take(), worker.below.take());
        drop(worker);
        if let Some(task) = task {
            task.abort();
        }
        below
    }
}

/// What a pool is made of.
pub(crate) struct Parts {
    pub(crate) e2b: E2bConfig,
    pub(crate) config: Config,
    pub(crate) tracker: SandboxTracker,
    pub(crate) check: SandboxCheck,
    pub(crate) room: Box<dyn Fn() -> Room + Send + Sync>,
    pub(crate) wall: Box<dyn Fn() -> Wall + Send + Sync>,
    pub(crate) warm_up: Option<Hook>,
    pub(crate) clean: Hook,
    pub(crate) before: Option<Before>,
    pub(crate) instance: String,
    pub(crate) waits: bool,
}

/// Held by the task: when its runtime ends, another may start.
pub(crate) struct IsRunning {
    pub(crate) shared: Arc<Shared>,
    number: u64,
}

impl Drop for IsRunning {
    fn drop(&mut self) {
        let mut worker = self.shared.worker();
        if worker.number == self.number {
            worker.is_running = false;
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Pool {
    /// A snapshot, for a log or a dashboard.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.shared().engine().snapshot(Tick::now())
    }

    /// Ends the [wait](crate::PoolBuilder::wait) of a pool: it starts with the services that it has, in the current
    /// tokio runtime, or else with the next creation.
    pub fn allow_start(&self) {
        self.shared().allow_start();
    }

    /// Whether the sandbox is in stock: no caller has it, or is about to have it.
    pub fn holds(&self, id: &SandboxId) -> bool {
        self.shared().engine().is_waiting(id)
    }

    /// A new version of `template`, by id or alias, is there: stock of older ones is not returned any
    /// more, and is killed. By itself the pool sees with its next creation when an alias stands for another
    /// template, and within a minute or two when a template of the team was built anew.
    pub fn template_changed(&self, template: &str) {
        self.shared().engine().template_changed(template);
        self.shared().work.notify_one();
    }

    /// Changes the bounds of the stock while it runs: `min` of each configured shape, `max` in all, as far as
    /// the budget allows. Stock above `max` is not killed; it ends by use and by age.
    pub fn set_bounds(&self, min: u32, max: u32) {
        self.shared().engine().set_bounds(min, max);
        self.shared().work.notify_one();
    }

    /// Ends the pool for good: requests pass, and the stock is killed within `duration`, or kept, as
    /// [configured](crate::Config::on_shutdown). What is not killed by then is killed by the
    /// [tracker](SandboxTracker), which the caller drains afterwards.
    ///
    /// If the future is dropped, the tracker kills the rest.
    pub async fn shut_down(&self, duration: Duration) {
        let shared = self.shared();
        let keep = shared.config.on_shutdown == OnShutdown::Keep;
        let below = shared.stop();
        let stock = shared.engine().shut_down(keep, Tick::now());
        let Some(below) = below else { return };
        let until = Tick::now() + duration;
        if !stock.is_empty() {
            tracing::info!(target: "sandtower::pool", sandboxes = stock.len(), "killing warm sandboxes");
        }
        let rest = Rest { shared: Arc::clone(shared), below: below.clone(), left: stock };
        crate::within::within(duration, rest.kill()).await;
        if let Some(recorder) = &shared.recorder {
            let last = async {
                recorder.written().await;
                recorder.close(&shared.engine).await;
            };
            crate::within::within(until.since(Tick::now()), last).await;
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }
}

/// The sandboxes to kill at shutdown. The tracker kills those that are left when this is dropped.
struct Rest {
    shared: Arc<Shared>,
    below: Below,
    left: Vec<SandboxId>,
}

impl Rest {
    async fn kill(mut self) {
        let client = self.shared.client(&self.below);
        while let Some(id) = self.left.last() {
            if client.kill(id).await.is_err() {
                self.shared.tracker.kill(id.clone(), self.below.clone());
            }
            if let Some(id) = self.left.pop() {
                self.shared.engine().ended(&id, Tick::now());
            }
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        for id in self.left.drain(..) {
            self.shared.tracker.kill(id, self.below.clone());
        }
    }
}

impl MetricSource for Pool {
    type Snapshot = PoolSnapshot;
    const KIND: &'static str = "pool";

    fn read(&self) -> Self::Snapshot {
        self.snapshot()
    }
}
