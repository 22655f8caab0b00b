use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Tick};
use tokio::{runtime, sync::Notify};
use tower_service::Service;

use super::cleanup::{clean_up, warn};
use super::ledger::Ledger;
use super::origin::Origin;
use super::requests::{Below, Requests};
use super::snapshot::{Abandoned, OrphansLeft, TrackerSnapshot};
use super::timing::{Timing, TimingError};
use super::unclaimed::Unclaimed;
use crate::transport::within::within;
use crate::{Config, Marks, SandboxId};

/// Kills sandboxes that were or may have been created and that no caller owns. Cheap to clone; one for
/// each stack, shared by its layers.
///
/// - An attempt to create a sandbox that ended without a known result is watched for as long as its
///   sandbox may still appear; the sandbox is killed, unless the call has adopted it.
/// - An orphaned sandbox is killed; the kill is retried until it succeeds.
///
/// A single task does the work; it is spawned on demand and ends when nothing is left. It outlives
/// callers, and sends its requests through the service below the layer that spawned it. It runs in the
/// tokio runtime of the call that it was spawned for. If that runtime ends, or is no longer driven, the
/// runtime of the next call that has work for it takes over, or that of
/// [`drain_within`](Self::drain_within). Work that cannot be completed is dropped in the end, with a
/// warning and an entry in the [snapshot](SandboxTracker::snapshot).
///
/// # Events
///
/// With the target `sandtower::e2b`: cleanup failed (`WARN`; `call_id`, `sandbox_id`), the
/// runtime of the task ended (`WARN`; `left`), and the progress of a drain (`INFO`, every 5 s; `left`).
#[derive(Clone)]
pub struct SandboxTracker {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) timing: Timing,
    state: Mutex<State>,
    /// There is new work.
    pub(super) work: Notify,
    /// An entry was resolved.
    pub(super) resolved: Notify,
}

pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) task: Option<Task>,
    /// The number of the latest task.
    tasks: u64,
    /// The service of the task's requests, from the last call that had work for it. Dropped once nothing
    /// is left, for it may hold this tracker itself.
    pub(super) below: Option<Arc<dyn Below>>,
}

/// The running task.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) runtime: runtime::Id,
    /// By when it wakes again if its runtime is driven.
    pub(super) looks_again: Tick,
}

/// A task that is later than this is no longer driven.
const STALLED: Duration = Duration::from_secs(5);
/// The interval of progress events during a drain.
const PROGRESS: Duration = Duration::from_secs(5);

impl SandboxTracker {
    /// A tracker for clients of `config`, with the default [`Timing`].
    pub fn new(config: &Config) -> Self {
        Self::checked(config, Timing::default())
    }

    /// A tracker for clients of `config`.
    ///
    /// # Errors
    ///
    /// The timing is invalid; the error says what would be valid.
    pub fn with_timing(config: &Config, timing: Timing) -> Result<Self, TimingError> {
        timing.check()?;
        Ok(Self::checked(config, timing))
    }

    fn checked(config: &Config, timing: Timing) -> Self {
        let ledger = Ledger::new(timing, config.rng());
        let state = State { ledger, task: None, tasks: 0, below: None };
        let shared = Shared {
            config: Arc::new(config.clone()),
            timing,
            state: Mutex::new(state),
            work: Notify::new(),
            resolved: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The counts so far.
    pub fn snapshot(&self) -> TrackerSnapshot {
        self.shared.state().ledger.snapshot()
    }

    /// Cleans up for at most `duration`. Call it before the program ends, once it creates no more
    /// sandboxes.
    ///
    /// Retries that are waiting run at once, and this runtime takes over unfinished work of others. An
    /// attempt without a known result is watched for about 2 minutes. Progress is logged every 5 s. If
    /// the future is dropped, the work continues in the background.
    ///
    /// # Errors
    ///
    /// Orphaned sandboxes are left after `duration`; the error lists them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain_within(&self, duration: Duration) -> Result<(), OrphansLeft> {
        let until = Tick::now() + duration;
        self.take_over();
        loop {
            let slice = until.since(Tick::now()).min(PROGRESS);
            if within(Some(slice), self.settled_when(Ledger::is_idle)).await.is_some() {
                return Ok(());
            }
            let (attempts, sandboxes) = self.shared.state().ledger.orphans();
            let left = attempts.len() + sandboxes.len();
            if Tick::now() >= until {
                let mut calls: Vec<_> = attempts.into_iter().map(|marks| marks.call).collect();
                calls.dedup();
                return Err(OrphansLeft { calls, sandboxes });
            }
            tracing::info!(target: "sandtower::e2b", left, "cleaning up orphaned sandboxes");
        }
    }

    /// Kills `sandbox` in the background by requests through `service`, until it has ended.
    pub fn kill<S, B>(&self, sandbox: SandboxId, service: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.release(sandbox, &self.by(service));
    }

    /// An existing sandbox as [`Unclaimed`], for a layer that returns it in place of a new one: unless the
    /// caller claims it, it is [killed](Self::kill).
    pub fn unclaimed<S, B>(&self, sandbox: SandboxId, service: S) -> Unclaimed
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Unclaimed::sandbox(sandbox, self.clone(), self.by(service))
    }

    /// The same; `then` is called once it is claimed, or is about to be killed (`false`). It must not block.
    pub fn unclaimed_then<S, B>(
        &self,
        sandbox: SandboxId,
        service: S,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> Unclaimed
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Unclaimed::sandbox_then(sandbox, self.clone(), self.by(service), Box::new(then))
    }

    fn by<S, B>(&self, service: S) -> CleanUp
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let requests = Requests::<S, Full<Bytes>>::new(service, Arc::clone(&self.shared.config));
        CleanUp::here(Arc::new(requests))
    }

    /// Continues the remaining work on the current runtime, at once.
    fn take_over(&self) {
        let here = runtime::Handle::current();
        let starts = {
            let mut state = self.shared.state();
            let is_here = state.task.is_some_and(|task| task.runtime == here.id());
            state.ledger.hurry(!is_here, Tick::now());
            if is_here || state.ledger.is_idle() { None } else { Some(state.begin(&here)) }
        };
        match starts {
            Some(number) => drop(here.spawn(clean_up(Arc::clone(&self.shared), number))),
            None => self.shared.work.notify_one(),
        }
    }

    /// Waits until `sandbox` is no longer being killed: it has ended, or was dropped.
    pub(crate) async fn released(&self, sandbox: &SandboxId) {
        self.settled_when(|ledger| !ledger.is_releasing(sandbox)).await;
    }

    async fn settled_when(&self, holds: impl Fn(&Ledger) -> bool) {
        loop {
            // Registered before the ledger is read; otherwise a change in between would be missed.
            let resolved = self.shared.resolved.notified();
            if holds(&self.shared.state().ledger) {
                return;
            }
            resolved.await;
        }
    }

    /// An attempt ended and its result is unknown.
    pub(super) fn watch(&self, attempt: Marks, sent: Tick, not_before: Tick, by: &CleanUp) {
        let origin = by.origin.orphaned(Some(&attempt), None);
        self.start(by, |ledger, now| {
            let abandoned = ledger.watch(attempt, sent, not_before, now);
            ledger.attempt_is_of(&attempt, origin);
            abandoned
        });
    }

    /// The result of `attempt` is known.
    pub(super) fn resolve(&self, attempt: &Marks) {
        self.shared.state().ledger.resolve(attempt);
        self.shared.resolved.notify_waiters();
    }

    pub(super) fn look_within(&self) -> Duration {
        self.shared.timing.look_within
    }

    pub(super) fn count_adopted(&self) {
        self.shared.state().ledger.adopted();
    }

    /// Adopts a sandbox of `attempt` for its own call. `false`: it is being killed.
    pub(super) fn adopt(&self, attempt: Marks, sandbox: &SandboxId) -> bool {
        let adopts = self.shared.state().ledger.adopt(attempt, sandbox);
        self.shared.resolved.notify_waiters();
        adopts
    }

    /// `sandbox` is orphaned.
    pub(crate) fn release(&self, sandbox: SandboxId, by: &CleanUp) {
        let origin = by.origin.orphaned(None, Some(&sandbox));
        self.start(by, |ledger, now| {
            let abandoned = ledger.release(sandbox.clone(), now);
            ledger.sandbox_is_of(&sandbox, origin);
            abandoned
        });
    }

    fn start(&self, by: &CleanUp, change: impl FnOnce(&mut Ledger, Tick) -> Option<Abandoned>) {
        let now = Tick::now();
        let (abandoned, starts, before) = {
            let mut state = self.shared.state();
            let abandoned = change(&mut state.ledger, now);
            let before = state.below.replace(Arc::clone(&by.below));
            let is_stalled = state.task.is_some_and(|task| {
                let elsewhere = by.runtime.as_ref().is_some_and(|here| here.id() != task.runtime);
                elsewhere && task.looks_again + STALLED < now
            });
            if is_stalled {
                state.ledger.hurry(true, now);
            }
            let starts = match &by.runtime {
                Some(runtime) if state.task.is_none() || is_stalled => {
                    Some((runtime, state.begin(runtime)))
                }
                _ => None,
            };
            (abandoned, starts, before)
        };
        // The drop of a user's service: not under the lock.
        drop(before);
        abandoned.iter().for_each(warn);
        match starts {
            Some((runtime, number)) => {
                drop(runtime.spawn(clean_up(Arc::clone(&self.shared), number)));
            }
            None => self.shared.work.notify_one(),
        }
        if by.runtime.is_none() && self.shared.state().task.is_none() {
            tracing::warn!(
                target: "sandtower::e2b",
                "orphaned sandboxes will not be cleaned up before the next drain: no Tokio runtime"
            );
        }
    }
}

impl State {
    /// The number of a new task in `runtime`, which replaces any before.
    fn begin(&mut self, runtime: &runtime::Handle) -> u64 {
        self.tasks += 1;
        let (number, runtime) = (self.tasks, runtime.id());
        self.task = Some(Task { number, runtime, looks_again: Tick::now() });
        number
    }
}

/// How the task is spawned: its service and its runtime.
#[derive(Clone)]
pub(crate) struct CleanUp {
    pub(super) below: Arc<dyn Below>,
    /// The runtime of the call: the future may be dropped elsewhere.
    pub(super) runtime: Option<runtime::Handle>,
    /// The call that it is for.
    pub(super) origin: Origin,
}

impl CleanUp {
    pub(crate) fn here(below: Arc<dyn Below>) -> Self {
        Self { below, runtime: runtime::Handle::try_current().ok(), origin: Origin::unknown() }
    }

    /// The same; if the call was made outside a runtime, the current one.
    pub(crate) fn or_here(&self) -> Self {
        let runtime = self.runtime.clone().or_else(|| runtime::Handle::try_current().ok());
        Self { below: Arc::clone(&self.below), runtime, origin: self.origin.clone() }
    }

    /// The same, for what the call that sends `request` leaves behind.
    pub(super) fn for_request<B>(self, request: &Request<B>) -> Self {
        Self { origin: Origin::of(request), ..self }
    }
}

impl Shared {
    pub(super) fn state(&self) -> Locked<'_> {
        Locked(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The state, locked. Spans that end meanwhile are dropped after it is unlocked.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

const LOCKED: &str = "it is unlocked when it is dropped";

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_ref().unwrap_or_else(|| unreachable!("{LOCKED}"))
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().unwrap_or_else(|| unreachable!("{LOCKED}"))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let dropped = self.0.take().map(|mut state| state.ledger.take_dropped());
        drop(dropped);
    }
}

impl std::fmt::Debug for SandboxTracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxTracker").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}
