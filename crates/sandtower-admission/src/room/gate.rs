//! The room as a gate: slots and what its own gates give, all or none.

use std::sync::Weak;

use sandtower_core::{
    Clock, Completion, Gate, Reason, Rejection, RequestInfo, Subscriber, Take, Tick, Verdict,
};

use super::AdmissionControl;
use crate::lane::Released;
use crate::slot::Slot;

impl<G: Gate> Gate for AdmissionControl<G> {
    type Token = Slot<G::Token>;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Self::Token> {
        let mut lane = self.lane(info.operation);
        if self.is_closed_to(info.operation) {
            return Take::Reject(self.reject(&mut lane, info.operation, Reason::Draining));
        }
        if !lane.is_open() {
            let limit = lane.limit();
            return Take::Reject(self.reject(&mut lane, info.operation, Reason::Full { limit }));
        }
        match self.inner.gates.take(info, now) {
            Take::Open(token) => {
                let trial = lane.next_is_a_trial();
                Take::Open(Slot::new(token, lane.admit(now), trial))
            }
            Take::NotBefore(at, why) => Take::NotBefore(at, why),
            Take::Reject(why) => Take::Reject(why),
        }
    }

    fn give_back(&self, info: &RequestInfo, slot: Self::Token) {
        if let Some(token) = slot.gates {
            self.inner.gates.give_back(info, token);
        }
        self.release(info.operation, slot.trial, None);
        // What went back may be what other lanes wait for, and gates are silent about it.
        self.inner.wake_all_next();
    }

    fn settle(&self, info: &RequestInfo, slot: Self::Token, settlement: &Completion) {
        if let Some(token) = slot.gates {
            self.inner.gates.settle(info, token, settlement);
        }
        if !slot.freed {
            self.release(info.operation, slot.trial, Some(settlement));
        }
    }

    /// Of an answer that goes on, the slot is free now unless the room is told to keep it; what the
    /// gates gave stays out as long as they say.
    fn head(&self, info: &RequestInfo, slot: &mut Self::Token, settlement: &Completion) -> bool {
        let gates = &self.inner.gates;
        let waits = slot.gates.as_mut().is_some_and(|token| gates.head(info, token, settlement));
        match (waits, self.inner.config.slots_to_the_end) {
            (false, false) => return false,
            (true, true) => {}
            (true, false) => {
                slot.freed = true;
                self.release(info.operation, slot.trial, Some(settlement));
            }
            (false, true) => {
                if let Some(token) = slot.gates.take() {
                    gates.settle(info, token, settlement);
                }
            }
        }
        true
    }

    /// The gates come first, so that who is woken for the slot finds them as they are now.
    fn settle_untimed(
        &self,
        info: &RequestInfo,
        slot: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let Slot { timed, freed, trial, .. } = slot;
        let gates = slot.gates.and_then(|token| {
            // One of them needs the time: then it is read, and serves all.
            self.inner.gates.settle_untimed(info, token, verdict)
        });
        if gates.is_some() {
            return Some(Slot { gates, timed, freed, trial });
        }
        if freed {
            return None;
        }
        let released = self.lane(info.operation).release_untimed(timed, verdict);
        match released {
            Released::Yes(woken) => {
                self.released(woken);
                None
            }
            Released::NeedsTime => Some(Slot { gates, timed, freed, trial }),
        }
    }

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        self.inner.gates.peek(clock)
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        self.inner.gates.rejects(info, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.inner.gates.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.inner.gates.watch(changed);
    }
}
