use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use sandtower_core::{
    Asked, Changed, Clock, Gate, Operation, Reason, Refusal, Settlement, Take, Tick, Verdict,
};

use crate::config::{Config, ConfigError};
use crate::lane::Lane;
use crate::snapshot::RoomSnapshot;

/// A waiting room: the handle of an [`AdmissionLayer`](crate::AdmissionLayer). Cheap to clone.
///
/// As a [`Gate`] of its own it is the same limits without the line: who finds no slot is refused.
#[derive(Debug)]
pub struct Room<G = ()> {
    inner: Arc<Inner<G>>,
}

#[derive(Debug)]
struct Inner<G> {
    config: Config,
    gates: G,
    /// By the operation's index. A lane's lock comes before a gate's, never after.
    lanes: Box<[OnceLock<Mutex<Lane>>]>,
}

impl Room {
    /// A room with nothing but its own limits.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_gates(config, ())
    }
}

impl<G: Gate + Send + Sync + 'static> Room<G> {
    /// A room whose calls also need a token of `gates`, all of them or none.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        config.check()?;
        let lanes = (0..=u8::MAX).map(|_| OnceLock::new()).collect();
        let inner = Arc::new(Inner { config, gates, lanes });
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
    /// are left alone.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn set_concurrency(&self, operation: Operation, limit: u32) -> Result<(), ConfigError> {
        if limit == 0 {
            return Err(ConfigError::NoConcurrency { operation: operation.name() });
        }
        let woken = self.inner.lane(operation).set_limit(limit);
        if let Some(waker) = woken {
            waker.wake();
        }
        Ok(())
    }

    /// What the room looks like now.
    pub fn snapshot(&self) -> RoomSnapshot {
        let lanes = self.inner.seen().map(|lane| lock(lane).snapshot()).collect();
        RoomSnapshot { name: self.name().to_owned(), lanes }
    }

    pub(crate) fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        self.inner.lane(operation)
    }

    pub(crate) fn queue(&self) -> u32 {
        self.inner.config.queue
    }

    pub(crate) fn refusal(&self, operation: Operation, reason: Reason) -> Refusal {
        Refusal::new("admission", Arc::clone(&self.inner.config.name), reason).operation(operation)
    }

    pub(crate) fn refuse_full(&self, operation: Operation, lane: &mut Lane) -> Refusal {
        lane.refused_full();
        self.refusal(operation, Reason::QueueFull { waiting: lane.waiting() })
    }

    /// Wakes the front of every lane: something that holds them all back may have changed.
    pub(crate) fn wake_fronts(&self) {
        self.inner.wake_fronts();
    }
}

impl<G> Inner<G> {
    fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        let lane = self.lanes[operation.index()]
            .get_or_init(|| Mutex::new(Lane::new(operation, self.config.limit_of(operation))));
        lock(lane)
    }

    fn seen(&self) -> impl Iterator<Item = &Mutex<Lane>> {
        self.lanes.iter().filter_map(OnceLock::get)
    }

    fn wake_fronts(&self) {
        for lane in self.seen() {
            let woken = lock(lane).wake_front();
            if let Some(waker) = woken {
                waker.wake();
            }
        }
    }
}

/// A lane's data is consistent between any two statements that can panic: a poisoned lock is used
/// on.
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<G: Send + Sync> Changed for Inner<G> {
    fn changed(&self) {
        self.wake_fronts();
    }
}

impl<G: Gate> Gate for Room<G> {
    type Token = G::Token;

    fn take(&self, asked: &Asked, now: Tick) -> Take<G::Token> {
        let mut lane = self.lane(asked.operation);
        if !lane.is_open() {
            let limit = lane.limit();
            return Take::Refuse(self.refusal(asked.operation, Reason::Full { limit }));
        }
        let take = self.inner.gates.take(asked, now);
        if let Take::Open(_) = take {
            lane.admit();
        }
        take
    }

    fn give_back(&self, asked: &Asked, token: G::Token) {
        self.inner.gates.give_back(asked, token);
        self.release(asked.operation);
        // What went back may be what other lanes wait for, and gates are silent about it.
        self.wake_fronts();
    }

    fn settle(&self, asked: &Asked, token: G::Token, settlement: &Settlement) {
        self.inner.gates.settle(asked, token, settlement);
        self.release(asked.operation);
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        self.inner.gates.peek(clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.inner.gates.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.inner.gates.watch(changed);
    }
}

impl<G: Gate> Room<G> {
    /// Lets a newcomer through at once, or refuses it at once; `None`: it has to stand in line.
    pub(crate) fn enter(&self, asked: &Asked, now: Tick) -> Option<Result<G::Token, Refusal>> {
        let mut lane = self.lane(asked.operation);
        if asked.deadline.is_some_and(|deadline| now >= deadline) {
            lane.refused_late();
            let waited = now.since(asked.arrived.unwrap_or(now));
            return Some(Err(self.refusal(asked.operation, Reason::TooLate { waited })));
        }
        if !lane.is_open() {
            let full = lane.waiting() >= self.queue();
            return full.then(|| Err(self.refuse_full(asked.operation, &mut lane)));
        }
        match self.inner.gates.take(asked, now) {
            Take::Open(token) => {
                lane.admit();
                Some(Ok(token))
            }
            Take::NotBefore(..) if self.queue() > 0 => None,
            Take::Refuse(refusal) | Take::NotBefore(_, refusal) => {
                lane.refused_by_gate();
                Some(Err(refusal))
            }
        }
    }
}

impl<G> Room<G> {
    fn release(&self, operation: Operation) {
        let woken = self.lane(operation).release();
        if let Some(waker) = woken {
            waker.wake();
        }
    }
}

impl<G> Clone for Room<G> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}
