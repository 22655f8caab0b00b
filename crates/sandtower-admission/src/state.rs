//! All queues and the limits that they share: pure data behind the one lock of admission control.

use std::task::Waker;

use sandtower_core::{Completion, Deferred, Operation, RequestInfo, Tick};

use crate::config::Config;
use crate::limits::{Limits, Reached};
use crate::queue::{Leaving, OperationQueue, Place, Seat};
use crate::slot::Taken;
use crate::waiting::Standing;

/// Each decision covers all limits, so there is one lock. With a total limit, one call of all queues is
/// next; otherwise one call of each queue.
#[derive(Debug)]
pub(crate) struct State {
    /// By index of the operation.
    queues: Box<[Option<Box<OperationQueue>>]>,
    /// The operations that have a queue.
    operations: Vec<Operation>,
    pub(crate) limits: Limits,
    /// Shadow mode: whether calls beyond a limit are counted and admitted.
    shadow: bool,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let queues = (0..=u8::MAX).map(|_| None).collect();
        Self { queues, operations: Vec::new(), limits: Limits::new(config), shadow: config.shadow }
    }

    /// The queue of `operation`, created at its first call.
    #[inline]
    pub(crate) fn queue(&mut self, operation: Operation, config: &Config) -> &mut OperationQueue {
        let Self { queues, operations, limits, shadow } = self;
        queues[operation.index()].get_or_insert_with(|| {
            operations.push(operation);
            let demand = limits.demand(operation, config.weight_of(operation));
            let (limit, order) = (config.limit_of(operation), config.order(operation));
            Box::new(OperationQueue::new(operation, limit, order, demand, *shadow))
        })
    }

    /// The queue of `operation`, if it exists.
    #[inline]
    pub(crate) fn existing(&mut self, operation: Operation) -> Option<&mut OperationQueue> {
        self.queues[operation.index()].as_deref_mut()
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &OperationQueue> {
        self.operations.iter().filter_map(|operation| self.queues[operation.index()].as_deref())
    }

    /// The queued calls of each tenant, by operation and class.
    pub(crate) fn standing(&self) -> Vec<(Operation, Standing)> {
        let queues = self
            .operations
            .iter()
            .filter_map(|&operation| Some((operation, self.queues[operation.index()].as_deref()?)));
        let standing = queues.flat_map(|(operation, queue)| {
            queue.standing().map(move |standing| (operation, standing))
        });
        standing.collect()
    }

    pub(crate) fn queues_mut(&mut self) -> impl Iterator<Item = &mut OperationQueue> {
        self.queues.iter_mut().filter_map(|queue| queue.as_deref_mut())
    }

    /// Whether a new call may be admitted immediately: it overtakes no queued call, and a slot is free.
    #[inline]
    pub(crate) fn is_open(&mut self, operation: Operation, now: Tick) -> bool {
        let is_open = self.existing(operation).is_some_and(|queue| queue.is_open());
        is_open && (!self.limits.has_total() || self.next_of_all(now).is_none())
    }

    /// Whether the call at `place` is next.
    pub(crate) fn is_turn_of(&mut self, operation: Operation, place: Place, now: Tick) -> bool {
        let next = self.existing(operation).and_then(|queue| queue.next(now));
        next == Some(place)
            && (!self.limits.has_total()
                || self.next_of_all(now).is_some_and(|(of, _)| of.index() == operation.index()))
    }

    /// The next call of all queues in which one may go, when the total limit is reached: by class, then by
    /// what its tenant got.
    fn next_of_all(&mut self, now: Tick) -> Option<(Operation, Place)> {
        let Self { queues, operations, limits, .. } = self;
        let mut best = [None; 3];
        for &operation in &*operations {
            let Some(queue) = queues[operation.index()].as_deref_mut() else { continue };
            if queue.is_empty() {
                continue;
            }
            let Some(place) = queue.next(now) else { continue };
            let (Some(class), Some(seat)) = (queue.class(place), queue.seat(place)) else {
                continue;
            };
            let got = limits.virtual_time(seat);
            let best: &mut Option<(u64, Operation, Place)> = &mut best[class];
            if best.is_none_or(|(least, ..)| got < least) {
                *best = Some((got, operation, place));
            }
        }
        let class = limits.turns.next(best.map(|best| best.is_some()))?;
        best[class].map(|(_, operation, place)| (operation, place))
    }

    /// Registers a call of `info`, to be queued or admitted.
    #[inline]
    pub(crate) fn seat_for(&mut self, info: &RequestInfo, now: Tick, later: &mut Deferred) -> Seat {
        let Self { queues, limits, .. } = self;
        let queue = queues[info.operation.index()].as_deref();
        limits.enter(info, queue.map_or(1, |queue| queue.demand.weight), now, later)
    }

    /// The limit that holds a call of this seat, if any.
    #[inline]
    pub(crate) fn reached(
        &mut self,
        operation: Operation,
        seat: Seat,
        now: Tick,
    ) -> Option<Reached> {
        let Self { queues, limits, shadow, .. } = self;
        let queue = queues[operation.index()].as_deref_mut()?;
        let reached = limits.check(seat, &queue.demand, now)?;
        if !*shadow {
            return Some(reached);
        }
        queue.let_through();
        None
    }

    /// Takes a slot and counts towards the shared limits.
    #[inline]
    pub(crate) fn admit(&mut self, operation: Operation, seat: Seat, now: Tick) -> Taken {
        let Self { queues, limits, .. } = self;
        let Some(queue) = queues[operation.index()].as_deref_mut() else { return Taken::Untimed };
        limits.take(seat, &queue.demand, now);
        queue.admit(now)
    }

    /// Admits the call of `info` at `place` from its queue.
    pub(crate) fn served(&mut self, info: &RequestInfo, seat: Seat) {
        if self.limits.has_total() {
            let mut waiting = [false; 3];
            for queue in self.queues() {
                let counts = queue.waiting_by_priority();
                (0..waiting.len()).for_each(|class| waiting[class] |= counts[class] > 0);
            }
            let weight = self.limits.weight_of(info.tenant);
            self.limits.served(seat, weight);
            self.limits.turns.served(info.priority.index(), seat.weight, waiting);
        }
    }

    /// Removes the call at `place` from its queue. The caller must drop the waker after unlocking.
    pub(crate) fn leave(
        &mut self,
        operation: Operation,
        place: Place,
        why: Leaving,
        now: Tick,
    ) -> Option<Waker> {
        let (seat, waker) = self.existing(operation)?.leave(place, why, now)?;
        if why != Leaving::Admitted {
            self.limits.leave(seat, now);
        }
        waker
    }

    /// Releases a slot, and its share of the shared limits.
    #[inline]
    pub(crate) fn release(
        &mut self,
        operation: Operation,
        taken: Taken,
        seat: Seat,
        done: &Completion,
        later: &mut Deferred,
    ) {
        let Self { queues, limits, .. } = self;
        let Some(queue) = queues[operation.index()].as_deref_mut() else { return };
        queue.release(taken, done);
        limits.give_back(seat, &queue.demand, done.was_sent());
        let refunds = !done.was_sent() && queue.demand.has_rates();
        let waits = !queue.is_empty();
        let parked = limits.unpark(seat);
        let leaves = limits.distinguishes(seat);
        if !(waits || refunds || parked.is_some() || leaves || limits.has_total()) {
            return;
        }
        let now = done.now();
        self.limits.leave(seat, now);
        if let Some((tenant, operations)) = parked {
            for at in operations {
                if let Some(queue) = self.queues[at.index()].as_deref_mut() {
                    queue.release_limits(tenant);
                    queue.advance(now, later);
                }
            }
        }
        if refunds {
            for queue in self.queues_mut().filter(|queue| queue.demand.has_rates()) {
                queue.release_limits(None);
                queue.advance(now, later);
            }
        }
        if waits || self.limits.has_total() {
            self.advance(operation, now, later);
        }
    }

    /// Restores the invariant of queues: see [`OperationQueue`]. Idempotent.
    pub(crate) fn advance(&mut self, operation: Operation, now: Tick, later: &mut Deferred) {
        if !self.limits.has_total() {
            if let Some(queue) = self.existing(operation) {
                queue.advance(now, later);
            }
            return;
        }
        if let Some((next, place)) = self.next_of_all(now) {
            let Self { queues, limits, .. } = self;
            if let Some(queue) = queues[next.index()].as_deref_mut()
                && queue.seat(place).is_some_and(|seat| limits.fits(seat))
            {
                queue.wake_next(now, later);
            }
        }
        if let Some(queue) = self.existing(operation) {
            queue.appoint_sentinel(now, later);
        }
    }

    /// Restores the invariant of all queues.
    pub(crate) fn advance_all(&mut self, now: Tick, later: &mut Deferred) {
        for at in 0..self.operations.len() {
            self.advance(self.operations[at], now, later);
        }
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow
    }

    pub(crate) fn set_shadow(&mut self, shadow: bool) {
        self.shadow = shadow;
        self.queues_mut().for_each(|queue| queue.set_shadow(shadow));
    }

    /// Drops the holds by limits after a limit changed.
    pub(crate) fn limits_changed(&mut self, now: Tick, later: &mut Deferred) {
        self.queues_mut().for_each(|queue| queue.release_limits(None));
        self.advance_all(now, later);
    }

    /// Drops the holds by gates.
    pub(crate) fn gates_changed(&mut self, now: Tick, later: &mut Deferred) {
        for at in 0..self.operations.len() {
            let operation = self.operations[at];
            if self.existing(operation).is_some_and(|queue| queue.release_gates(now)) {
                self.advance(operation, now, later);
            }
        }
    }
}
