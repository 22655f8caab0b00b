//! A call's place in line, in the hands of its future.

use std::task::{Context, Waker};
use std::time::Duration;

use sandtower_core::{Asked, Clock, Gate, Place, Reason, Refusal, Take, Tick};
use sandtower_time::TokioClock;

use crate::lane::{Lane, Leaving};
use crate::progress::{Inside, Progress};
use crate::room::Room;
use crate::slot::Slot;

/// Leaves the line when dropped, and wakes who is next.
pub(crate) struct Ticket<G: Gate> {
    room: Room<G>,
    asked: Asked,
    arrived: Tick,
    /// `None` until the future is first polled: a call that nobody polls must not block a line.
    place: Option<Place>,
    progress: Option<Progress>,
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
    pub(crate) fn new(room: Room<G>, asked: Asked, now: Tick, progress: Option<Progress>) -> Self {
        let arrived = asked.arrived.unwrap_or(now);
        Self { room, asked, arrived, place: None, progress }
    }

    pub(crate) fn room(&self) -> &Room<G> {
        &self.room
    }

    /// The call is admitted: its progress goes on from here.
    pub(crate) fn inside(&mut self) -> Inside {
        Inside::new(self.progress.take())
    }

    pub(crate) fn look(&mut self, cx: &mut Context<'_>, now: Tick) -> Turn<Slot<G::Token>> {
        let Self { room, asked, arrived, place, progress } = self;
        let mut lane = room.lane(asked.operation);
        let here = match *place {
            Some(here) => here,
            None if lane.waiting() >= room.queue() => {
                let reason = Reason::QueueFull { waiting: lane.waiting() };
                return Turn::Refused(room.refuse(&mut lane, asked.operation, reason));
            }
            None => {
                let here = *place.insert(lane.join(*arrived, now, cx.waker()));
                if let Some(progress) = progress {
                    progress.joined(room.lines(), asked.operation, here);
                }
                here
            }
        };
        let (turn, leaving) = decide(room, asked, *arrived, &mut lane, here, now);
        let Some(leaving) = leaving else {
            lane.wait_with(here, cx.waker());
            return turn;
        };
        *place = None;
        let next = lane.leave(here, leaving, now);
        drop(lane);
        wake(next);
        if let Some(progress) = progress {
            progress.left();
        }
        turn
    }
}

/// What comes next for the call that stands `here`; and if it leaves the line, why.
fn decide<G: Gate>(
    room: &Room<G>,
    asked: &Asked,
    arrived: Tick,
    lane: &mut Lane,
    here: Place,
    now: Tick,
) -> (Turn<Slot<G::Token>>, Option<Leaving>) {
    let deadline = asked.deadline.unwrap_or(Tick::MAX);
    let refused =
        |reason, leaving| (Turn::Refused(room.refusal(asked.operation, reason)), Some(leaving));
    let late = || refused(Reason::TooLate { waited: now.since(arrived) }, Leaving::Late);
    if room.is_closed_to(asked.operation) {
        return refused(Reason::Draining, Leaving::Draining);
    }
    if now >= deadline {
        return late();
    }
    if !(lane.is_next(here) && lane.has_slot()) {
        return match room.gates().refuses(asked, &TokioClock) {
            Some(refusal) => (Turn::Refused(refusal), Some(Leaving::ByGate)),
            None => (Turn::Wait(deadline), None),
        };
    }
    match room.gates().take(asked, now) {
        Take::Open(token) => {
            let slot = Slot::new(token, true, lane.next_is_a_trial());
            (Turn::Admitted(slot), Some(Leaving::Admitted))
        }
        Take::Refuse(refusal) => (Turn::Refused(refusal), Some(Leaving::ByGate)),
        Take::NotBefore(at, why) if at > deadline => (Turn::Refused(why), Some(Leaving::ByGate)),
        Take::NotBefore(at, why) => {
            lane.hold(why);
            (Turn::Wait(at.max(now + SHORTEST_WAIT).min(deadline)), None)
        }
    }
}

impl<G: Gate> Drop for Ticket<G> {
    fn drop(&mut self) {
        if let Some(here) = self.place.take() {
            let now = TokioClock.now();
            let next = self.room.lane(self.asked.operation).leave(here, Leaving::Dropped, now);
            wake(next);
            if let Some(progress) = &self.progress {
                progress.left();
            }
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
