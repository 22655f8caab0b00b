mod gate;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use sandtower_core::{
    Change, Deferred, Gate, No, Now, Operation, Reason, Rejection, RequestInfo, Subscriber,
    Subscribers, Tick,
};

use crate::config::{Config, ConfigError};
use crate::drain::{Drain, Drainers};
use crate::limiter::Limit;
use crate::progress::{QueuePosition, Queues};
use crate::queue::{OperationQueue, Place};
use crate::slot::{Slot, SlotPlace, Taken};
use crate::snapshot::AdmissionSnapshot;
use crate::sync::{AtomicBool, Mutex, MutexGuard, PoisonError};

/// Admission control: the handle of an [`AdmissionLayer`](crate::AdmissionLayer). Cheap to clone.
///
/// As a [`Gate`] of its own it is the same limits without the queue: a call that finds no slot is
/// rejected by a layer that does not wait.
#[derive(Debug)]
pub struct AdmissionControl<G = ()> {
    inner: Arc<Inner<G>>,
}

struct Inner<G> {
    config: Config,
    gates: G,
    /// By the operation's index. The lock of a queue comes before that of a gate, never after.
    queues: Box<[OnceLock<Mutex<OperationQueue>>]>,
    draining: AtomicBool,
    shutting_down: AtomicBool,
    drainers: Drainers,
    subscribers: Arc<Subscribers>,
    /// Itself, for those who look at it without knowing its gates.
    itself: Weak<dyn Queues>,
}

impl AdmissionControl {
    /// Admission control with nothing but its own limits.
    ///
    /// # Errors
    ///
    /// A limit is invalid, such as 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_gates(config, ())
    }
}

impl<G: Gate> AdmissionControl<G> {
    /// Admission control whose calls also need a permit of `gates`, all of them or none.
    ///
    /// # Errors
    ///
    /// A limit is invalid, such as 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        config.check()?;
        let queues = (0..=u8::MAX).map(|_| OnceLock::new()).collect();
        let inner = Arc::new_cyclic(|weak: &Weak<Inner<G>>| {
            let itself: Weak<dyn Queues> = weak.clone();
            let (draining, shutting_down) = (AtomicBool::new(false), AtomicBool::new(false));
            let (drainers, subscribers) = (Drainers::default(), Arc::default());
            Inner { config, gates, queues, draining, shutting_down, drainers, subscribers, itself }
        });
        let weak: Weak<Inner<G>> = Arc::downgrade(&inner);
        inner.gates.subscribe(weak);
        Ok(Self { inner })
    }
}

impl<G> AdmissionControl<G> {
    /// The name for rejections and logs.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// The gates that decide along with the limits.
    pub fn gates(&self) -> &G {
        &self.inner.gates
    }

    /// Changes how many calls of `operation` may be in flight, from now on. Calls already in flight
    /// are left alone; what an adaptive limit has learned is forgotten.
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
        let mut queue = self.queue(operation);
        queue.set_limit(limit);
        queue.advance(Tick::now(), &mut later);
        Ok(())
    }

    /// All queues at one moment.
    pub fn snapshot(&self) -> AdmissionSnapshot {
        let queues = self.inner.seen().map(|queue| lock(queue).snapshot()).collect();
        AdmissionSnapshot { name: self.name().to_owned(), draining: self.is_closing(), queues }
    }

    /// Closes for good, at once: newcomers and calls that wait are rejected, calls in flight finish.
    /// The future is done when none is in flight any more.
    pub fn drain(&self) -> Drain<G> {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.wake_all();
        Drain::new(self.clone())
    }

    /// Closes for good but for operations that are
    /// [admitted during shutdown](Config::admit_during_shutdown): what has to be cleaned up still can
    /// be. Newcomers and calls that wait are rejected, calls in flight finish. The future is done when
    /// none is in flight any more but those. [Drain](Self::drain) it then.
    pub fn begin_shutdown(&self) -> Drain<G> {
        self.inner.shutting_down.store(true, Ordering::Release);
        self.inner.wake_all();
        Drain::new(self.clone())
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
        inner.seen().map(lock).all(|queue| {
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
    pub(crate) fn queue(&self, operation: Operation) -> MutexGuard<'_, OperationQueue> {
        self.inner.queue(operation)
    }

    pub(crate) fn longest_queue(&self) -> u32 {
        self.inner.config.queue
    }

    pub(crate) fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        self.inner.rejection(operation, reason)
    }

    /// Counts and makes the rejection of a call that was not in the queue.
    pub(crate) fn reject(
        &self,
        queue: &mut OperationQueue,
        operation: Operation,
        reason: Reason,
    ) -> Rejection {
        queue.rejected(&reason);
        let rejection = self.rejection(operation, reason);
        match reason {
            Reason::NoTime { wait } => rejection.come_back_in(wait),
            _ => rejection,
        }
    }
}

impl<G: Gate> AdmissionControl<G> {
    /// What the gates say of `info`; see [`Inner::or_hold`].
    pub(crate) fn check_gates(&self, info: &RequestInfo, now: &Now) -> Option<No> {
        self.inner.gates.check(Some(info), now).map(|no| self.inner.or_hold(no))
    }

    /// Acquires what the gates give for `info`; see [`Inner::or_hold`].
    #[expect(
        clippy::result_large_err,
        reason = "a queue asks a closed gate often: no box each time"
    )]
    pub(crate) fn acquire(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<G::Permit, No> {
        self.inner.gates.try_acquire(info, now, later).map_err(|no| self.inner.or_hold(no))
    }

    /// Admits a newcomer at once, or rejects it at once; `None`: it has to join the queue.
    pub(crate) fn enter(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Option<Result<Slot<G::Permit>, Rejection>> {
        let operation = info.operation;
        let mut queue = self.queue(operation);
        if let Some(reason) = self.hopeless(&queue, info, now.tick()) {
            return Some(Err(self.reject(&mut queue, operation, reason)));
        }
        if !queue.is_open() {
            return None;
        }
        match self.acquire(info, now, later) {
            Ok(permit) => {
                let taken = queue.admit(now.tick());
                Some(Ok(Slot { gates: Some(permit), place: SlotPlace::Taken(taken) }))
            }
            Err(no) if self.longest_queue() > 0 && !no.is_hopeless(info.deadline) => None,
            Err(no) => {
                let rejection = no.into_rejection();
                queue.rejected(&rejection.reason());
                Some(Err(rejection))
            }
        }
    }

    /// Why a newcomer need not even try.
    fn hopeless(&self, queue: &OperationQueue, info: &RequestInfo, now: Tick) -> Option<Reason> {
        if self.is_closed_to(info.operation) {
            return Some(Reason::Draining);
        }
        let arrived = info.arrived.unwrap_or(now);
        if info.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Reason::TooLate { waited: now.since(arrived) });
        }
        if queue.is_open() {
            return None;
        }
        if queue.waiting() >= self.longest_queue() {
            return Some(Reason::QueueFull { waiting: queue.waiting() });
        }
        let wait = queue.too_long(arrived, info.deadline?, now)?;
        Some(Reason::NoTime { wait })
    }
}

impl<G> Inner<G> {
    #[inline]
    fn queue(&self, operation: Operation) -> MutexGuard<'_, OperationQueue> {
        let queue = self.queues[operation.index()].get_or_init(|| {
            let (limit, order) = (self.config.limit_of(operation), self.config.order(operation));
            Mutex::new(OperationQueue::new(operation, limit, order))
        });
        lock(queue)
    }

    fn seen(&self) -> impl Iterator<Item = &Mutex<OperationQueue>> {
        self.queues.iter().filter_map(OnceLock::get)
    }

    /// All have to look: it closes.
    fn wake_all(&self) {
        let mut later = Deferred::new();
        for queue in self.seen() {
            lock(queue).wake_those(|_| true, &mut later);
        }
    }

    fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        Rejection::new("admission", Arc::clone(&self.config.name), reason).about(operation)
    }
}

impl<G: Gate> Inner<G> {
    /// A gate that is closed for some time is waited for, where calls are to be held.
    fn or_hold(&self, no: No) -> No {
        match no {
            No::Closed { until: Some(until), why } if self.config.hold_through_outage => {
                No::Wait { earliest: until, look_again: until, why }
            }
            no => no,
        }
    }

    /// A slot is free again.
    #[inline]
    fn release(
        &self,
        operation: Operation,
        taken: Taken,
        done: &sandtower_core::Completion,
        later: &mut Deferred,
    ) {
        let frees_for_others = {
            let mut queue = self.queue(operation);
            queue.release(taken, done);
            if queue.waiting() > 0 {
                queue.advance(done.now(), later);
            }
            queue.frees_for_others()
        };
        if frees_for_others {
            later.notify(&self.subscribers, Change::Opened);
        }
        if self.draining.load(Ordering::Acquire) || self.shutting_down.load(Ordering::Acquire) {
            self.drainers.wake(later);
        }
    }
}

/// A queue's data is consistent between any two statements that can panic: a poisoned lock is used
/// on.
#[inline]
fn lock(queue: &Mutex<OperationQueue>) -> MutexGuard<'_, OperationQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the gates say has changed.
impl<G: Gate> Subscriber for Inner<G> {
    fn changed(&self, change: Change) {
        let (now, mut later) = (Now::new(), Deferred::new());
        for queue in self.seen() {
            let mut queue = lock(queue);
            if change == Change::Closed {
                // Calls that can only be rejected do not wait for their turn to be told so.
                let is_rejected = |info: &RequestInfo| {
                    let no = self.gates.check(Some(info), &now).map(|no| self.or_hold(no));
                    no.is_some_and(|no| no.is_hopeless(info.deadline))
                };
                queue.wake_those(is_rejected, &mut later);
            }
            // Either way, what a gate said before may not hold any more.
            queue.gate_changed(now.tick(), &mut later);
        }
        later.notify(&self.subscribers, change);
    }
}

impl<G: Gate> Queues for Inner<G> {
    fn position(&self, operation: Operation, place: Place) -> Option<QueuePosition> {
        let queue = self.queue(operation);
        let ahead = queue.ahead(place)?;
        let held_by = match queue.held_by() {
            Some(rejection) => Some(rejection.clone()),
            None if queue.has_slot() => None,
            None => Some(self.rejection(operation, Reason::Full { limit: queue.limit() })),
        };
        let waiting = queue.waiting() as usize;
        Some(QueuePosition::new(ahead, waiting, queue.wait(ahead), held_by))
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
