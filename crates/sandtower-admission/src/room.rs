mod gate;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use sandtower_core::{
    Completion, Gate, Operation, Place, Reason, Rejection, RequestInfo, Subscriber, Take, Tick,
};

use crate::config::{Config, ConfigError};
use crate::drain::{Drain, Drainers};
use crate::lane::Lane;
use crate::limiter::Limit;
use crate::progress::{Lines, QueuePosition};
use crate::slot::Slot;
use crate::snapshot::AdmissionSnapshot;
use crate::sync::{AtomicBool, Mutex, MutexGuard, PoisonError};

/// A waiting room: the handle of an [`AdmissionLayer`](crate::AdmissionLayer). Cheap to clone.
///
/// As a [`Gate`] of its own it is the same limits without the line: who finds no slot is rejected.
#[derive(Debug)]
pub struct AdmissionControl<G = ()> {
    inner: Arc<Inner<G>>,
}

struct Inner<G> {
    config: Config,
    gates: G,
    /// By the operation's index. A lane's lock comes before a gate's, never after.
    lanes: Box<[OnceLock<Mutex<Lane>>]>,
    draining: AtomicBool,
    winding_down: AtomicBool,
    drainers: Drainers,
    /// Itself, for those who watch without knowing its gates.
    lines: Weak<dyn Lines>,
}

impl AdmissionControl {
    /// A room with nothing but its own limits.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense, such as 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_gates(config, ())
    }
}

impl<G: Gate + Send + Sync + 'static> AdmissionControl<G> {
    /// A room whose calls also need a token of `gates`, all of them or none.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense, such as 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        config.check()?;
        let lanes = (0..=u8::MAX).map(|_| OnceLock::new()).collect();
        let inner = Arc::new_cyclic(|weak: &Weak<Inner<G>>| {
            let lines: Weak<dyn Lines> = weak.clone();
            let (draining, winding_down) = (AtomicBool::new(false), AtomicBool::new(false));
            let drainers = Drainers::default();
            Inner { config, gates, lanes, draining, winding_down, drainers, lines }
        });
        let weak: Weak<Inner<G>> = Arc::downgrade(&inner);
        inner.gates.watch(weak);
        Ok(Self { inner })
    }
}

impl<G> AdmissionControl<G> {
    /// The name for rejections and logs.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// The gates that decide along with the room's own limits.
    pub fn gates(&self) -> &G {
        &self.inner.gates
    }

    /// Changes how many calls of `operation` may be in flight, from now on. Calls already in flight
    /// are left alone; what an adaptive limit has learned is forgotten.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense, such as 0.
    pub fn set_concurrency(
        &self,
        operation: Operation,
        limit: impl Into<Limit>,
    ) -> Result<(), ConfigError> {
        let limit = limit.into();
        limit.check(operation.name())?;
        let woken = self.inner.lane(operation).set_limit(limit);
        if let Some(waker) = woken {
            waker.wake();
        }
        Ok(())
    }

    /// What the room looks like now.
    pub fn snapshot(&self) -> AdmissionSnapshot {
        let lanes = self.inner.seen().map(|lane| lock(lane).snapshot()).collect();
        AdmissionSnapshot { name: self.name().to_owned(), draining: self.is_closing(), lanes }
    }

    /// Closes the room for good, at once: newcomers and those in line are rejected, those inside
    /// finish. The future is done when nobody is inside any more.
    pub fn drain(&self) -> Drain<G> {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.wake_all_next();
        Drain::new(self.clone())
    }

    /// Closes the room for good but for those that go [last](Config::admit_during_shutdown): what is to be put
    /// away can still be. Newcomers and those in line are rejected, those inside finish. The future is
    /// done when nobody is inside any more but those that go last. [Drain](Self::drain) it then.
    pub fn begin_shutdown(&self) -> Drain<G> {
        self.inner.winding_down.store(true, Ordering::Release);
        self.inner.wake_all_next();
        Drain::new(self.clone())
    }

    /// Whether the room is closed, or being closed, to calls of `operation`.
    pub(crate) fn is_closed_to(&self, operation: Operation) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire)
            || inner.winding_down.load(Ordering::Acquire)
                && !inner.config.admit_during_shutdown.contains(operation)
    }

    fn is_closing(&self) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire) || inner.winding_down.load(Ordering::Acquire)
    }

    /// Whether nobody is inside who has to go before the room is closed.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = &self.inner;
        let goes_first = |index: &usize| {
            inner.draining.load(Ordering::Acquire)
                || !inner.config.admit_during_shutdown.has(*index)
        };
        let lanes = inner.lanes.iter().enumerate().filter(|(index, _)| goes_first(index));
        lanes.filter_map(|(_, lane)| lane.get()).all(|lane| lock(lane).in_flight() == 0)
    }

    pub(crate) fn drainers(&self) -> &Drainers {
        &self.inner.drainers
    }

    pub(crate) fn lines(&self) -> Weak<dyn Lines> {
        self.inner.lines.clone()
    }

    pub(crate) fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        self.inner.lane(operation)
    }

    pub(crate) fn queue(&self) -> u32 {
        self.inner.config.queue
    }

    pub(crate) fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        self.inner.rejection(operation, reason)
    }

    /// Counts and makes the rejection of a call that did not stand in line.
    pub(crate) fn reject(
        &self,
        lane: &mut Lane,
        operation: Operation,
        reason: Reason,
    ) -> Rejection {
        lane.rejected(&reason);
        let rejection = self.rejection(operation, reason);
        match reason {
            Reason::NoTime { wait } => rejection.come_back_in(wait),
            _ => rejection,
        }
    }

    fn release(&self, operation: Operation, trial: bool, settlement: Option<&Completion>) {
        let woken = self.lane(operation).release(trial, settlement);
        self.released(woken);
    }

    /// Never under a lane's lock: a waker may poll right here.
    fn released(&self, woken: Option<Waker>) {
        if let Some(waker) = woken {
            waker.wake();
        }
        if self.is_closing() {
            self.inner.drainers.wake();
        }
    }
}

impl<G: Gate> AdmissionControl<G> {
    /// Lets a newcomer through at once, or rejects it at once; `None`: it has to stand in line.
    pub(crate) fn enter(
        &self,
        info: &RequestInfo,
        now: Tick,
    ) -> Option<Result<Slot<G::Token>, Rejection>> {
        let operation = info.operation;
        let mut lane = self.lane(operation);
        if let Some(reason) = self.hopeless(&lane, info, now) {
            return Some(Err(self.reject(&mut lane, operation, reason)));
        }
        if !lane.is_open() {
            return None;
        }
        match self.inner.gates.take(info, now) {
            Take::Open(token) => {
                let trial = lane.next_is_a_trial();
                Some(Ok(Slot::new(token, lane.admit(now), trial)))
            }
            Take::NotBefore(at, _) if self.queue() > 0 && info.deadline.is_none_or(|d| at <= d) => {
                None
            }
            Take::Reject(rejection) | Take::NotBefore(_, rejection) => {
                lane.rejected(&rejection.reason());
                Some(Err(rejection))
            }
        }
    }

    /// Why a newcomer need not even try.
    fn hopeless(&self, lane: &Lane, info: &RequestInfo, now: Tick) -> Option<Reason> {
        if self.is_closed_to(info.operation) {
            return Some(Reason::Draining);
        }
        if info.deadline.is_some_and(|deadline| now >= deadline) {
            let waited = now.since(info.arrived.unwrap_or(now));
            return Some(Reason::TooLate { waited });
        }
        if lane.is_open() {
            return None;
        }
        if lane.waiting() >= self.queue() {
            return Some(Reason::QueueFull { waiting: lane.waiting() });
        }
        lane.no_time(info.deadline, now).map(|wait| Reason::NoTime { wait })
    }
}

impl<G> Inner<G> {
    fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        let lane = self.lanes[operation.index()].get_or_init(|| {
            let limit = self.config.limit_of(operation);
            Mutex::new(Lane::new(operation, limit, self.config.stands_after(operation)))
        });
        lock(lane)
    }

    fn seen(&self) -> impl Iterator<Item = &Mutex<Lane>> {
        self.lanes.iter().filter_map(OnceLock::get)
    }

    /// Something that holds all lanes back may have changed.
    fn wake_all_next(&self) {
        for lane in self.seen() {
            let woken = lock(lane).wake_next();
            if let Some(waker) = woken {
                waker.wake();
            }
        }
    }

    fn rejection(&self, operation: Operation, reason: Reason) -> Rejection {
        Rejection::new("admission", Arc::clone(&self.config.name), reason).about(operation)
    }
}

/// A lane's data is consistent between any two statements that can panic: a poisoned lock is used
/// on.
#[inline]
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<G: Send + Sync> Subscriber for Inner<G> {
    fn changed(&self) {
        self.wake_all_next();
    }
}

impl<G: Send + Sync> Lines for Inner<G> {
    fn standing(&self, operation: Operation, place: Place) -> Option<QueuePosition> {
        let lane = self.lane(operation);
        let ahead = lane.ahead(place)?;
        let held_by = match lane.held_by() {
            Some(rejection) => Some(rejection.clone()),
            None if lane.has_slot() => None,
            None => Some(self.rejection(operation, Reason::Full { limit: lane.limit() })),
        };
        Some(QueuePosition {
            ahead,
            waiting: lane.waiting() as usize,
            wait: lane.wait(ahead),
            held_by,
        })
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
