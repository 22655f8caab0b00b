//! Admits a call immediately, queues it, or rejects it.

use sandtower_core::{
    Deferred, Gate, No, Now, Patience, Priority, Reason, Rejection, RequestInfo, Tenant, Tick,
};

use super::{AdmissionControl, Inner};
use crate::limits::Reached;
use crate::queue::{Leaving, Place, Seat};
use crate::slot::{Slot, SlotPlace};
use crate::state::State;

/// A tenant that does not exist: a gate that rejects it rejects every tenant.
const ANY_TENANT: Tenant = Tenant::new(0x7d3a_91c6_58f2_e04b);

/// The decision of the gates on a call that they do not admit.
pub(crate) struct Held {
    pub(crate) no: No,
    pub(crate) why: Waits,
}

/// What such a call waits for, if it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Its turn at a gate that is open.
    Gate,
    /// A closed gate to open: the call is held through an outage.
    Outage,
    /// A probe in flight of a closed gate. The call is not held through an outage, so the wait is short.
    Probe,
}

impl<G: Gate> AdmissionControl<G> {
    /// The decision of the gates on `info`; see [`Inner::or_hold`].
    pub(crate) fn check_gates(&self, info: &RequestInfo, now: &Now) -> Option<Held> {
        let no = self.inner.gates.check(Some(info), now)?;
        Some(self.inner.or_hold(info, no))
    }

    /// Whether the gates reject every tenant.
    pub(crate) fn rejects_any_tenant(&self, info: &RequestInfo, now: &Now) -> bool {
        let any = info.tenant(ANY_TENANT);
        self.inner.gates.check(Some(&any), now).is_some()
    }

    /// Acquires the permits of the gates for `info`; see [`Inner::or_hold`].
    #[expect(
        clippy::result_large_err,
        reason = "a queue asks a closed gate often: no box each time"
    )]
    pub(crate) fn acquire(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<G::Permit, Held> {
        let acquired = self.inner.gates.try_acquire(info, now, later);
        acquired.map_err(|no| self.inner.or_hold(info, no))
    }

    /// Admits or rejects a new call immediately; `None`: it has to join the queue.
    pub(crate) fn enter(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Option<Result<Slot<G::Permit>, Rejection>> {
        let (mut state, operation) = (self.lock(), info.operation);
        state.queue(operation, &self.inner.config);
        if let Some(rejection) = self.hopeless(&mut state, info, now.tick()) {
            return Some(Err(rejection));
        }
        if !state.is_open(operation, now.tick()) {
            return None;
        }
        let seat = state.seat_for(info, now.tick(), later);
        let admitted = self.admit_at_once(&mut state, info, seat, now, later);
        if !matches!(admitted, Some(Ok(_))) {
            state.limits.leave(seat, now.tick());
        }
        admitted
    }

    fn admit_at_once(
        &self,
        state: &mut State,
        info: &RequestInfo,
        seat: Seat,
        now: &Now,
        later: &mut Deferred,
    ) -> Option<Result<Slot<G::Permit>, Rejection>> {
        let (operation, may_wait) = (info.operation, self.longest_queue() > 0);
        if let Some(reached) = state.reached(operation, seat, now.tick()) {
            if may_wait && !self.is_too_late(reached, info.deadline) {
                return None;
            }
            let rejection = self.limit_rejection(state, info, seat, reached, now.tick());
            state.existing(operation)?.rejected(&rejection.reason());
            return Some(Err(rejection));
        }
        match self.acquire(info, now, later) {
            Ok(permit) => {
                let taken = state.admit(operation, seat, now.tick());
                let place = SlotPlace::Taken(taken, seat);
                Some(Ok(Slot { gates: Some(permit), place }))
            }
            Err(Held { no, .. }) if may_wait && !no.is_hopeless(info.deadline) => None,
            Err(Held { no, .. }) => {
                state.existing(operation)?.rejected_by_gate();
                Some(Err(no.into_rejection()))
            }
        }
    }

    /// Adds a call to the queue of its operation, in place of another if the queue is full.
    pub(crate) fn join(
        &self,
        state: &mut State,
        info: &RequestInfo,
        arrived: Tick,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Place, Rejection> {
        let weight = state.limits.weight_of(info.tenant);
        let queue = state.queue(info.operation, &self.inner.config);
        if queue.waiting() >= self.longest_queue() {
            let Some(victim) = queue.sheds(info, weight) else {
                return Err(self.queue_full(state, info, now.tick()));
            };
            let waker = state.leave(info.operation, victim, Leaving::Shed, now.tick());
            waker.into_iter().for_each(|waker| later.wake(waker));
        }
        let seat = state.seat_for(info, now.tick(), later);
        let queue = state.queue(info.operation, &self.inner.config);
        Ok(queue.join(info, seat, weight, arrived, now.tick()))
    }
}

impl<G> AdmissionControl<G> {
    /// Rejects, and counts, a new call that cannot be admitted.
    fn hopeless(&self, state: &mut State, info: &RequestInfo, now: Tick) -> Option<Rejection> {
        let operation = info.operation;
        let reject = |state: &mut State, reason| {
            state.queue(operation, &self.inner.config).rejected(&reason);
            Some(self.rejection(operation, reason))
        };
        if self.is_closed_to(operation) {
            return reject(state, Reason::Draining);
        }
        let arrived = info.arrived.unwrap_or(now);
        if info.deadline.is_some_and(|deadline| now >= deadline) {
            return reject(state, Reason::TooLate { waited: now.since(arrived) });
        }
        let queue = state.queue(operation, &self.inner.config);
        if queue.is_open() {
            return None;
        }
        let is_full = queue.waiting() >= self.longest_queue();
        let makes_way = info.priority == Priority::Background && queue.stands(now);
        let weight = state.limits.weight_of(info.tenant);
        let queue = state.queue(operation, &self.inner.config);
        if makes_way || is_full && queue.sheds(info, weight).is_none() {
            return Some(self.queue_full(state, info, now));
        }
        let wait = queue.wait_of(info, weight, arrived)?;
        if now + wait + queue.took() <= info.deadline? {
            return None;
        }
        reject(state, Reason::NoTime { wait }).map(|rejection| rejection.come_back_in(wait))
    }

    /// Counts and creates the rejection of a call that finds the queue full.
    pub(crate) fn queue_full(&self, state: &mut State, info: &RequestInfo, now: Tick) -> Rejection {
        let reason = self.full(state, info, now);
        state.queue(info.operation, &self.inner.config).rejected(&reason.reason());
        reason
    }

    /// The rejection of a queued call that was displaced by another: already counted.
    pub(crate) fn full(&self, state: &mut State, info: &RequestInfo, now: Tick) -> Rejection {
        let weight = state.limits.weight_of(info.tenant);
        let queue = state.queue(info.operation, &self.inner.config);
        let wait = queue.wait_of(info, weight, now);
        let reason = Reason::QueueFull { waiting: queue.waiting() };
        let rejection = self.rejection(info.operation, reason);
        let rejection = match wait {
            Some(wait) => rejection.come_back_in(wait),
            None => rejection,
        };
        match (info.priority, info.tenant) {
            (Priority::Interactive, Tenant::ALL) => rejection,
            (priority, Tenant::ALL) => rejection.by_limit(priority.label(), None),
            (priority, tenant) => {
                let whose = state.limits.profile(tenant).name;
                rejection.by_limit(priority.label(), Some(whose))
            }
        }
    }

    /// Whether a rate admits the call only after its deadline.
    pub(crate) fn is_too_late(&self, reached: Reached, deadline: Option<Tick>) -> bool {
        matches!((reached, deadline), (Reached::Rate(_, until), Some(deadline)) if until > deadline)
    }

    /// Adds the limit, its tenant, and when to retry.
    pub(crate) fn limit_rejection(
        &self,
        state: &mut State,
        info: &RequestInfo,
        seat: Seat,
        reached: Reached,
        now: Tick,
    ) -> Rejection {
        let (reason, limit, whose) = state.limits.reason(reached, seat, info.tenant, now);
        let rejection = self.rejection(info.operation, reason);
        let rejection = rejection.by_limit(limit, whose.map(|whose| whose.name));
        let queue = state.queue(info.operation, &self.inner.config);
        let after = match reached {
            Reached::Rate(_, until) => Some(until.since(now)),
            // A call in flight is expected to end by then, if latency does not change.
            Reached::Total | Reached::Tenant => {
                queue.wait(0).or_else(|| Some(queue.took()).filter(|took| !took.is_zero()))
            }
        };
        after.into_iter().fold(rejection, Rejection::come_back_in)
    }
}

impl<G: Gate> Inner<G> {
    /// Whether a call waits for a closed gate: set by the request, or else by its class.
    pub(super) fn or_hold(&self, info: &RequestInfo, no: No) -> Held {
        let holds = match info.patience {
            Some(Patience::Hold) => true,
            Some(Patience::Reject) => false,
            None => self.config.holds(info.priority),
        };
        match no {
            No::Closed { until: Some(until), why } if holds => {
                let no = No::Wait { earliest: until, look_again: until, why };
                Held { no, why: Waits::Outage }
            }
            no @ No::Wait { .. } if no.why().reason() == Reason::Probing => {
                Held { no, why: if holds { Waits::Outage } else { Waits::Probe } }
            }
            no => Held { no, why: Waits::Gate },
        }
    }
}
