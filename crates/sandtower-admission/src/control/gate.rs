//! Admission control as a gate: a slot and the permits of its own gates, all or none.

use std::sync::Weak;

use sandtower_core::{
    Completion, Deferred, Gate, No, Now, Reason, RequestInfo, Stage, Subscriber, Tick, Verdict,
};

use super::AdmissionControl;
use crate::slot::{Slot, SlotPlace};

impl<G: Gate> Gate for AdmissionControl<G> {
    type Permit = Slot<G::Permit>;

    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        match request {
            Some(info) if self.is_closed_to(info.operation) => {
                let why = self.rejection(info.operation, Reason::Draining);
                Some(No::Closed { until: None, why })
            }
            Some(info) => {
                let full = self.no_slot(info, now);
                let gates = self.inner.gates.check(request, now);
                match (full, gates) {
                    (None, gates) => gates,
                    (full, None) => full,
                    // A closed gate says more than a slot that may be free soon.
                    (_, Some(closed @ No::Closed { .. })) => Some(closed),
                    (full, _) => full,
                }
            }
            None => self.inner.gates.check(None, now),
        }
    }

    fn try_acquire(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Self::Permit, No> {
        let (operation, mut state) = (info.operation, self.lock());
        let queue = state.queue(operation, self.config());
        if self.is_closed_to(operation) {
            queue.rejected(&Reason::Draining);
            return Err(No::Closed {
                until: None,
                why: self.rejection(operation, Reason::Draining),
            });
        }
        if !state.is_open(operation, now.tick()) {
            let queue = state.queue(operation, self.config());
            let reason = Reason::Full { limit: queue.limit() };
            queue.rejected(&reason);
            let why = self.rejection(operation, reason);
            return Err(No::Wait { earliest: now.tick(), look_again: Tick::MAX, why });
        }
        let seat = state.seat_for(info, now.tick(), later);
        let no = match state.reached(operation, seat, now.tick()) {
            None => match self.inner.gates.try_acquire(info, now, later) {
                Ok(permit) => {
                    let taken = state.admit(operation, seat, now.tick());
                    let place = SlotPlace::Taken(taken, seat);
                    return Ok(Slot { gates: Some(permit), place });
                }
                Err(no) => no,
            },
            Some(reached) => {
                let why = self.limit_rejection(&mut state, info, seat, reached, now.tick());
                // A caller that is not in the queue is notified when a slot is free.
                state.queue(operation, self.config()).rejected(&why.reason());
                let earliest = reached.until().unwrap_or_else(|| now.tick());
                No::Wait { earliest, look_again: reached.until().unwrap_or(Tick::MAX), why }
            }
        };
        state.limits.leave(seat, now.tick());
        Err(no)
    }

    /// The gates record first, so that a call woken for the slot sees their current state.
    ///
    /// At the head of a stream the slot is free, unless it is [kept](crate::Config::slots_to_the_end);
    /// the gates keep their permits for as long as they choose.
    #[inline]
    fn record(
        &self,
        info: &RequestInfo,
        slot: Self::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Self::Permit> {
        let Slot { gates, mut place } = slot;
        let gates = gates.and_then(|permit| self.inner.gates.record(info, permit, done, later));
        let at_head = done.stage == Stage::Head;
        if let SlotPlace::Taken(taken, seat) = place
            && !(at_head && self.inner.config.slots_to_the_end)
        {
            place = SlotPlace::Free;
            self.inner.release(info.operation, (taken, seat), done, later);
        }
        let kept = at_head && (gates.is_some() || place != SlotPlace::Free);
        kept.then_some(Slot { gates, place })
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.inner.gates.not_ready(verdict, now, later);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.inner.subscribers.add(subscriber);
    }
}

impl<G> AdmissionControl<G> {
    fn no_slot(&self, info: &RequestInfo, now: &Now) -> Option<No> {
        let (mut state, operation) = (self.lock(), info.operation);
        let limit = state.queue(operation, self.config()).limit();
        if state.is_open(operation, now.tick()) {
            return None;
        }
        let why = self.rejection(operation, Reason::Full { limit });
        Some(No::Wait { earliest: now.tick(), look_again: Tick::MAX, why })
    }
}
