//! A call's place in line, in the hands of its future.

use std::task::{Context, Waker};
use std::time::Duration;

use sandtower_core::{Asked, Gate, Place, Reason, Refusal, Take, Tick};
use sandtower_time::TokioClock;

use crate::lane::{Lane, Leaving};
use crate::room::Room;

/// Leaves the line when dropped, and wakes who is next.
pub(crate) struct Ticket<G: Gate> {
    room: Room<G>,
    asked: Asked,
    arrived: Tick,
    /// `None` until the future is first polled: a call that nobody polls must not block a line.
    place: Option<Place>,
}

/// What a look at the line says.
pub(crate) enum Turn<T> {
    Admitted(T),
    Refused(Refusal),
    /// Look again at this instant, or when woken.
    Wait(Tick),
}

/// A gate that says "not before" an instant that is not in the future would be asked for ever.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl<G: Gate> Ticket<G> {
    /// Will stand in line at its call's time of arrival, which may be long before `now`.
    pub(crate) fn new(room: Room<G>, asked: Asked, now: Tick) -> Self {
        let arrived = asked.arrived.unwrap_or(now);
        Self { room, asked, arrived, place: None }
    }

    pub(crate) fn room(&self) -> &Room<G> {
        &self.room
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(crate) fn look(&mut self, cx: &mut Context<'_>, now: Tick) -> Turn<G::Token> {
        let Self { room, asked, arrived, place } = self;
        let mut lane = room.lane(asked.operation);
        let here = match *place {
            Some(here) => here,
            None if lane.waiting() >= room.queue() => {
                return Turn::Refused(room.refuse_full(asked.operation, &mut lane));
            }
            None => *place.insert(lane.join(*arrived, cx.waker())),
        };
        let (turn, leaving) = decide(room, asked, *arrived, &lane, here, now);
        let Some(leaving) = leaving else {
            lane.wait_with(here, cx.waker());
            return turn;
        };
        *place = None;
        let next = lane.leave(here, leaving);
        drop(lane);
        wake(next);
        turn
    }
}

/// What comes next for the call that stands `here`; and if it leaves the line, why.
fn decide<G: Gate>(
    room: &Room<G>,
    asked: &Asked,
    arrived: Tick,
    lane: &Lane,
    here: Place,
    now: Tick,
) -> (Turn<G::Token>, Option<Leaving>) {
    let deadline = asked.deadline.unwrap_or(Tick::MAX);
    let late = || {
        let refusal = room.refusal(asked.operation, Reason::TooLate { waited: now.since(arrived) });
        (Turn::Refused(refusal), Some(Leaving::Late))
    };
    if now >= deadline {
        return late();
    }
    if !(lane.is_front(here) && lane.has_slot()) {
        return match room.gates().peek(&TokioClock) {
            Some(refusal) => (Turn::Refused(refusal), Some(Leaving::ByGate)),
            None => (Turn::Wait(deadline), None),
        };
    }
    match room.gates().take(asked, now) {
        Take::Open(token) => (Turn::Admitted(token), Some(Leaving::Admitted)),
        Take::Refuse(refusal) => (Turn::Refused(refusal), Some(Leaving::ByGate)),
        Take::NotBefore(at, _) if at > deadline => late(),
        Take::NotBefore(at, _) => (Turn::Wait(at.max(now + SHORTEST_WAIT).min(deadline)), None),
    }
}

impl<G: Gate> Drop for Ticket<G> {
    fn drop(&mut self) {
        if let Some(here) = self.place.take() {
            let next = self.room.lane(self.asked.operation).leave(here, Leaving::Dropped);
            wake(next);
        }
    }
}

/// Never under a lane's lock: a waker may poll right here.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<G: Gate> std::fmt::Debug for Ticket<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("asked", &self.asked)
            .field("arrived", &self.arrived)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
