//! The room as a gate: slots and what its own gates give, all or none.

use std::sync::Weak;

use sandtower_core::{
    Asked, Changed, Clock, Gate, Reason, Refusal, Settlement, Take, Tick, Verdict,
};

use super::Room;
use crate::lane::Released;
use crate::slot::Slot;

impl<G: Gate> Gate for Room<G> {
    type Token = Slot<G::Token>;

    fn take(&self, asked: &Asked, now: Tick) -> Take<Self::Token> {
        let mut lane = self.lane(asked.operation);
        if self.is_closed_to(asked.operation) {
            return Take::Refuse(self.refuse(&mut lane, asked.operation, Reason::Draining));
        }
        if !lane.is_open() {
            let limit = lane.limit();
            return Take::Refuse(self.refuse(&mut lane, asked.operation, Reason::Full { limit }));
        }
        match self.inner.gates.take(asked, now) {
            Take::Open(token) => {
                let trial = lane.next_is_a_trial();
                Take::Open(Slot::new(token, lane.admit(now), trial))
            }
            Take::NotBefore(at, why) => Take::NotBefore(at, why),
            Take::Refuse(why) => Take::Refuse(why),
        }
    }

    fn give_back(&self, asked: &Asked, slot: Self::Token) {
        if let Some(token) = slot.gates {
            self.inner.gates.give_back(asked, token);
        }
        self.release(asked.operation, slot.trial, None);
        // What went back may be what other lanes wait for, and gates are silent about it.
        self.inner.wake_all_next();
    }

    fn settle(&self, asked: &Asked, slot: Self::Token, settlement: &Settlement) {
        if let Some(token) = slot.gates {
            self.inner.gates.settle(asked, token, settlement);
        }
        if !slot.freed {
            self.release(asked.operation, slot.trial, Some(settlement));
        }
    }

    /// Of an answer that goes on, the slot is free now unless the room is told to keep it; what the
    /// gates gave stays out as long as they say.
    fn head(&self, asked: &Asked, slot: &mut Self::Token, settlement: &Settlement) -> bool {
        let gates = &self.inner.gates;
        let waits = slot.gates.as_mut().is_some_and(|token| gates.head(asked, token, settlement));
        match (waits, self.inner.config.slots_to_the_end) {
            (false, false) => return false,
            (true, true) => {}
            (true, false) => {
                slot.freed = true;
                self.release(asked.operation, slot.trial, Some(settlement));
            }
            (false, true) => {
                if let Some(token) = slot.gates.take() {
                    gates.settle(asked, token, settlement);
                }
            }
        }
        true
    }

    /// The gates come first, so that who is woken for the slot finds them as they are now.
    fn settle_untimed(
        &self,
        asked: &Asked,
        slot: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let Slot { timed, freed, trial, .. } = slot;
        let gates = slot.gates.and_then(|token| {
            // One of them needs the time: then it is read, and serves all.
            self.inner.gates.settle_untimed(asked, token, verdict)
        });
        if gates.is_some() {
            return Some(Slot { gates, timed, freed, trial });
        }
        if freed {
            return None;
        }
        let released = self.lane(asked.operation).release_untimed(timed, verdict);
        match released {
            Released::Yes(woken) => {
                self.released(woken);
                None
            }
            Released::NeedsTime => Some(Slot { gates, timed, freed, trial }),
        }
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        self.inner.gates.peek(clock)
    }

    fn refuses(&self, asked: &Asked, clock: &impl Clock) -> Option<Refusal> {
        self.inner.gates.refuses(asked, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.inner.gates.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.inner.gates.watch(changed);
    }
}
