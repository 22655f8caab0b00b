mod enter;
mod gate;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use sandtower_core::{
    Change, Deferred, Gate, Now, Operation, Reason, Rejection, RequestInfo, Subscriber,
    Subscribers, Tick,
};

pub(crate) use self::enter::{Held, Waits};

use crate::config::{Config, ConfigError};
use crate::drain::{Drain, Drainers};
use crate::limiter::Limit;
use crate::progress::{QueuePosition, Queues};
use crate::queue::{Place, Seat};
use crate::rate::Rate;
use crate::slot::Taken;
use crate::snapshot::AdmissionSnapshot;
use crate::state::State;
use crate::sync::{AtomicBool, Mutex, MutexGuard, PoisonError};

/// Admission control: the handle of an [`AdmissionLayer`](crate::AdmissionLayer). Cheap to clone.
///
/// Used as a [`Gate`] it applies the same limits without the queue: a layer that does not wait rejects
/// calls that find no free slot.
#[derive(Debug)]
pub struct AdmissionControl<G = ()> {
    inner: Arc<Inner<G>>,
}

struct Inner<G> {
    config: Config,
    gates: G,
    /// Lock order: this lock is taken before that of a gate, never after.
    state: Mutex<State>,
    draining: AtomicBool,
    shutting_down: AtomicBool,
    drainers: Drainers,
    subscribers: Arc<Subscribers>,
    /// A handle to itself, for readers that do not know the type of the gates.
    itself: Weak<dyn Queues>,
}

impl AdmissionControl {
    /// Admission control with its own limits and no gates.
    ///
    /// # Errors
    ///
    /// A limit is invalid, such as 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_gates(config, ())
    }
}

impl<G: Gate> AdmissionControl<G> {
    /// Admission control whose calls also need a permit from each of `gates`. A call acquires all
    /// permits or none.
    ///
    /// # Errors
    ///
    /// A limit is invalid, such as 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        config.check()?;
        let state = Mutex::new(State::new(&config));
        let inner = Arc::new_cyclic(|weak: &Weak<Inner<G>>| {
            let itself: Weak<dyn Queues> = weak.clone();
            let (draining, shutting_down) = (AtomicBool::new(false), AtomicBool::new(false));
            let (drainers, subscribers) = (Drainers::default(), Arc::default());
            Inner { config, gates, state, draining, shutting_down, drainers, subscribers, itself }
        });
        let weak: Weak<Inner<G>> = Arc::downgrade(&inner);
        inner.gates.subscribe(weak);
        Ok(Self { inner })
    }
}

impl<G> AdmissionControl<G> {
    /// The name in rejections and logs.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// The gates of this admission control.
    pub fn gates(&self) -> &G {
        &self.inner.gates
    }

    /// Sets the maximum calls in flight of `operation`. Calls already in flight are not affected. An
    /// adaptive limit starts over.
    ///
    /// # Errors
    ///
    /// The limit is invalid, such as 0.
    pub fn set_concurrency(
        &self,
        operation: Operation,
        limit: impl Into<Limit>,
    ) -> Result<(), ConfigError> {
        let limit = limit.into();
        limit.check(operation.name())?;
        let mut later = Deferred::new();
        let mut state = self.lock();
        state.queue(operation, &self.inner.config).set_limit(limit);
        state.advance(operation, Tick::now(), &mut later);
        Ok(())
    }

    /// Sets the maximum calls in flight of all operations together, by weight; `None` for unlimited.
    /// Queued calls keep their positions.
    ///
    /// # Errors
    ///
    /// The limit is 0.
    pub fn set_concurrency_total(&self, limit: Option<u32>) -> Result<(), ConfigError> {
        ConfigError::unless_positive("all operations", limit)?;
        self.change(|state| state.limits.set_total(limit));
        Ok(())
    }

    /// Sets the maximum calls in flight per tenant, by weight; `None` for unlimited. Queued calls keep
    /// their positions. If tenants were not distinguished before, calls already queued or in flight are
    /// not counted.
    ///
    /// # Errors
    ///
    /// The limit is 0.
    pub fn set_concurrency_per_tenant(&self, limit: Option<u32>) -> Result<(), ConfigError> {
        ConfigError::unless_positive("each tenant", limit)?;
        self.change(|state| state.limits.set_per_tenant(limit));
        Ok(())
    }

    /// Changes the count, window and burst of the rate with this name. Its operations, and whether it
    /// applies per tenant, do not change. Usage so far still counts, and queued calls keep their
    /// positions.
    ///
    /// # Errors
    ///
    /// The rate admits no calls, or the configuration has no rate with this name.
    pub fn set_rate(&self, rate: &Rate) -> Result<(), ConfigError> {
        rate.check()?;
        let mut is_known = false;
        self.change(|state| is_known = state.limits.set_rate(rate, Tick::now()));
        let name = || ConfigError::UnknownRate { name: rate.name.clone() };
        if is_known { Ok(()) } else { Err(name()) }
    }

    /// Turns [shadow mode](Config::shadow) on or off. Calls that are queued when it is turned on are
    /// admitted.
    pub fn set_shadow(&self, shadow: bool) {
        self.change(|state| state.set_shadow(shadow));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut later = Deferred::new();
        let mut state = self.lock();
        change(&mut state);
        state.limits_changed(Tick::now(), &mut later);
    }

    /// A snapshot of all queues.
    pub fn snapshot(&self) -> AdmissionSnapshot {
        let (name, draining) = (self.name().to_owned(), self.is_closing());
        let state = self.lock();
        let (tenants, tenants_overflowed) = state.limits.tenants_seen();
        AdmissionSnapshot {
            name,
            draining,
            queues: state.queues().map(|queue| queue.snapshot()).collect(),
            in_flight: state.limits.in_flight(),
            concurrency_total: state.limits.total(),
            shadow: state.is_shadow(),
            tenants,
            tenants_overflowed,
        }
    }

    /// Shuts down permanently, as soon as it is called: rejects new and queued calls and lets calls in
    /// flight finish. The future resolves once no call is in flight.
    pub fn drain(&self) -> Drain<G> {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.wake_all();
        Drain::new(self.clone())
    }

    /// Begins a permanent shutdown that still admits operations
    /// [admitted during shutdown](Config::admit_during_shutdown), so that cleanup can run. Rejects all
    /// other new and queued calls, as soon as it is called, and lets calls in flight finish. The future
    /// resolves once no call of any other operation is in flight. [Drain](Self::drain) next.
    pub fn begin_shutdown(&self) -> Drain<G> {
        self.inner.shutting_down.store(true, Ordering::Release);
        self.inner.wake_all();
        Drain::new(self.clone())
    }

    /// Whether a call of `info` would now be held until a closed gate opens.
    pub fn holds_through_outage(&self, info: &RequestInfo) -> bool
    where
        G: Gate,
    {
        let held = self.check_gates(info, &Now::new());
        self.config().queue > 0 && held.is_some_and(|held| held.why == Waits::Outage)
    }

    /// Whether it is closed, or closing, to calls of `operation`.
    pub(crate) fn is_closed_to(&self, operation: Operation) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire)
            || inner.shutting_down.load(Ordering::Acquire)
                && !inner.config.cleans_up(operation.name())
    }

    fn is_closing(&self) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire) || inner.shutting_down.load(Ordering::Acquire)
    }

    /// Whether no call is in flight that has to end before it is closed.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = &self.inner;
        let draining = inner.draining.load(Ordering::Acquire);
        self.lock().queues().all(|queue| {
            queue.in_flight() == 0 || !draining && inner.config.cleans_up(queue.operation())
        })
    }

    pub(crate) fn drainers(&self) -> &Drainers {
        &self.inner.drainers
    }

    pub(crate) fn as_queues(&self) -> Weak<dyn Queues> {
        self.inner.itself.clone()
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn longest_queue(&self) -> u32 {
        self.inner.config.queue
    }

    pub(crate) fn waits_for(
        &self,
        state: &mut State,
        operation: Operation,
        place: Place,
    ) -> Option<Rejection> {
        self.inner.waits_for(state, operation, place)
    }

    pub(crate) fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        self.inner.rejection(operation, reason)
    }
}

impl<G> Inner<G> {
    /// The data is consistent between any two statements that can panic, so poisoning is ignored.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all queued calls so that they see the shutdown.
    fn wake_all(&self) {
        let mut later = Deferred::new();
        self.lock().queues_mut().for_each(|queue| queue.wake_those(|_| true, &mut later));
    }

    /// What the call at `place` waits for, other than the calls ahead of it.
    fn waits_for(
        &self,
        state: &mut State,
        operation: Operation,
        place: Place,
    ) -> Option<Rejection> {
        let queue = state.existing(operation)?;
        let full = (!queue.has_slot()).then(|| Reason::Full { limit: queue.limit() });
        match (queue.held_by(place).cloned(), full) {
            (Some(rejection), _) => Some(rejection),
            (None, Some(full)) => Some(self.rejection(operation, full)),
            (None, None) if state.limits.is_full() => {
                let limit = state.limits.total().unwrap_or_default();
                Some(self.rejection(operation, Reason::Full { limit }).by_limit("in total", None))
            }
            (None, None) => None,
        }
    }

    fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        Rejection::new("admission", Arc::clone(&self.config.name), reason).about(operation)
    }
}

impl<G: Gate> Inner<G> {
    /// A slot is free again.
    #[inline]
    fn release(
        &self,
        operation: Operation,
        (taken, seat): (Taken, Seat),
        done: &sandtower_core::Completion,
        later: &mut Deferred,
    ) {
        let frees_for_others = {
            let mut state = self.lock();
            state.release(operation, taken, seat, done, later);
            state.existing(operation).is_some_and(|queue| queue.frees_for_others())
        };
        if frees_for_others {
            later.notify(&self.subscribers, Change::Opened);
        }
        if self.draining.load(Ordering::Acquire) || self.shutting_down.load(Ordering::Acquire) {
            self.drainers.wake(later);
        }
    }
}

/// Wakes queued calls when a gate changes.
impl<G: Gate> Subscriber for Inner<G> {
    fn changed(&self, change: Change) {
        let (now, mut later) = (Now::new(), Deferred::new());
        {
            let mut state = self.lock();
            if change == Change::Closed {
                // Calls that can only be rejected are rejected before they reach the front.
                let is_rejected = |info: &RequestInfo| {
                    let no = self.gates.check(Some(info), &now);
                    no.is_some_and(|no| self.or_hold(info, no).no.is_hopeless(info.deadline))
                };
                state.queues_mut().for_each(|queue| queue.wake_those(is_rejected, &mut later));
            }
            // In both cases an earlier decision of the gate may be out of date.
            state.gates_changed(now.tick(), &mut later);
        }
        later.notify(&self.subscribers, change);
    }
}

impl<G: Gate> Queues for Inner<G> {
    fn position(&self, operation: Operation, place: Place) -> Option<QueuePosition> {
        let mut state = self.lock();
        let queue = state.existing(operation)?;
        let ahead = queue.ahead(place)?;
        let (wait, waiting) = (queue.wait(ahead.calls), queue.waiting() as usize);
        let held_by = self.waits_for(&mut state, operation, place);
        let position = QueuePosition::new(ahead.calls, waiting, wait, held_by);
        Some(if ahead.about { position.about() } else { position })
    }
}

impl<G> Clone for AdmissionControl<G> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<G> std::fmt::Debug for Inner<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("name", &self.config.name).finish_non_exhaustive()
    }
}
