mod gate;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use sandtower_core::{
    Asked, Changed, Gate, Operation, Place, Reason, Refusal, Settlement, Take, Tick,
};

use crate::config::{Config, ConfigError};
use crate::drain::{Drain, Drainers};
use crate::lane::Lane;
use crate::limiter::Limit;
use crate::progress::{Lines, Standing};
use crate::slot::Slot;
use crate::snapshot::RoomSnapshot;
use crate::sync::{AtomicBool, Mutex, MutexGuard, PoisonError};

/// A waiting room: the handle of an [`AdmissionLayer`](crate::AdmissionLayer). Cheap to clone.
///
/// As a [`Gate`] of its own it is the same limits without the line: who finds no slot is refused.
#[derive(Debug)]
pub struct Room<G = ()> {
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

impl Room {
    /// A room with nothing but its own limits.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense, such as 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_gates(config, ())
    }
}

impl<G: Gate + Send + Sync + 'static> Room<G> {
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

impl<G> Room<G> {
    /// The name for refusals and logs.
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
    pub fn snapshot(&self) -> RoomSnapshot {
        let lanes = self.inner.seen().map(|lane| lock(lane).snapshot()).collect();
        RoomSnapshot { name: self.name().to_owned(), draining: self.is_closing(), lanes }
    }

    /// Closes the room for good, at once: newcomers and those in line are refused, those inside
    /// finish. The future is done when nobody is inside any more.
    pub fn drain(&self) -> Drain<G> {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.wake_all_next();
        Drain::new(self.clone())
    }

    /// Closes the room for good but for those that go [last](Config::last_out): what is to be put
    /// away can still be. Newcomers and those in line are refused, those inside finish. The future is
    /// done when nobody is inside any more but those that go last. [Drain](Self::drain) it then.
    pub fn wind_down(&self) -> Drain<G> {
        self.inner.winding_down.store(true, Ordering::Release);
        self.inner.wake_all_next();
        Drain::new(self.clone())
    }

    /// Whether the room is closed, or being closed, to calls of `operation`.
    pub(crate) fn is_closed_to(&self, operation: Operation) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire)
            || inner.winding_down.load(Ordering::Acquire)
                && !inner.config.last_out.contains(operation)
    }

    fn is_closing(&self) -> bool {
        let inner = &self.inner;
        inner.draining.load(Ordering::Acquire) || inner.winding_down.load(Ordering::Acquire)
    }

    /// Whether nobody is inside who has to go before the room is closed.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = &self.inner;
        let goes_first = |index: &usize| {
            inner.draining.load(Ordering::Acquire) || !inner.config.last_out.has(*index)
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

    pub(crate) fn refusal(&self, operation: Operation, reason: Reason) -> Refusal {
        self.inner.refusal(operation, reason)
    }

    /// Counts and makes the refusal of a call that did not stand in line.
    pub(crate) fn refuse(&self, lane: &mut Lane, operation: Operation, reason: Reason) -> Refusal {
        lane.refused(&reason);
        let refusal = self.refusal(operation, reason);
        match reason {
            Reason::NoTime { wait } => refusal.come_back_in(wait),
            _ => refusal,
        }
    }

    fn release(&self, operation: Operation, trial: bool, settlement: Option<&Settlement>) {
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

impl<G: Gate> Room<G> {
    /// Lets a newcomer through at once, or refuses it at once; `None`: it has to stand in line.
    pub(crate) fn enter(
        &self,
        asked: &Asked,
        now: Tick,
    ) -> Option<Result<Slot<G::Token>, Refusal>> {
        let operation = asked.operation;
        let mut lane = self.lane(operation);
        if let Some(reason) = self.hopeless(&lane, asked, now) {
            return Some(Err(self.refuse(&mut lane, operation, reason)));
        }
        if !lane.is_open() {
            return None;
        }
        match self.inner.gates.take(asked, now) {
            Take::Open(token) => {
                let trial = lane.next_is_a_trial();
                Some(Ok(Slot::new(token, lane.admit(now), trial)))
            }
            Take::NotBefore(at, _)
                if self.queue() > 0 && asked.deadline.is_none_or(|d| at <= d) =>
            {
                None
            }
            Take::Refuse(refusal) | Take::NotBefore(_, refusal) => {
                lane.refused(&refusal.reason());
                Some(Err(refusal))
            }
        }
    }

    /// Why a newcomer need not even try.
    fn hopeless(&self, lane: &Lane, asked: &Asked, now: Tick) -> Option<Reason> {
        if self.is_closed_to(asked.operation) {
            return Some(Reason::Draining);
        }
        if asked.deadline.is_some_and(|deadline| now >= deadline) {
            let waited = now.since(asked.arrived.unwrap_or(now));
            return Some(Reason::TooLate { waited });
        }
        if lane.is_open() {
            return None;
        }
        if lane.waiting() >= self.queue() {
            return Some(Reason::QueueFull { waiting: lane.waiting() });
        }
        lane.no_time(asked.deadline, now).map(|wait| Reason::NoTime { wait })
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

    fn refusal(&self, operation: Operation, reason: Reason) -> Refusal {
        Refusal::new("admission", Arc::clone(&self.config.name), reason).about(operation)
    }
}

/// A lane's data is consistent between any two statements that can panic: a poisoned lock is used
/// on.
#[inline]
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<G: Send + Sync> Changed for Inner<G> {
    fn changed(&self) {
        self.wake_all_next();
    }
}

impl<G: Send + Sync> Lines for Inner<G> {
    fn standing(&self, operation: Operation, place: Place) -> Option<Standing> {
        let lane = self.lane(operation);
        let ahead = lane.ahead(place)?;
        let held_by = match lane.held_by() {
            Some(refusal) => Some(refusal.clone()),
            None if lane.has_slot() => None,
            None => Some(self.refusal(operation, Reason::Full { limit: lane.limit() })),
        };
        Some(Standing { ahead, waiting: lane.waiting() as usize, wait: lane.wait(ahead), held_by })
    }
}

impl<G> Clone for Room<G> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<G> std::fmt::Debug for Inner<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("name", &self.config.name).finish_non_exhaustive()
    }
}
