//! A call's place in line, in the hands of its future.

use std::task::{Context, Waker};
use std::time::Duration;

use sandtower_core::{Clock, Gate, Place, Reason, Rejection, RequestInfo, Take, Tick};
use sandtower_time::TokioClock;

use crate::lane::{Lane, Leaving};
use crate::progress::{Inside, Progress};
use crate::room::AdmissionControl;
use crate::slot::Slot;

/// Leaves the line when dropped, and wakes who is next.
pub(crate) struct Ticket<G: Gate> {
    room: AdmissionControl<G>,
    info: RequestInfo,
    arrived: Tick,
    /// `None` until the future is first polled: a call that nobody polls must not block a line.
    place: Option<Place>,
    progress: Option<Progress>,
}

/// What a look at the line says.
pub(crate) enum Turn<T> {
    Admitted(T),
    Rejected(Rejection),
    /// Look again at this instant, or when woken.
    Wait(Tick),
}

/// A gate that says "not before" an instant that is not in the future would be asked for ever.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl<G: Gate> Ticket<G> {
    /// Will stand in line at its call's time of arrival, which may be long before `now`.
    pub(crate) fn new(
        room: AdmissionControl<G>,
        info: RequestInfo,
        now: Tick,
        progress: Option<Progress>,
    ) -> Self {
        let arrived = info.arrived.unwrap_or(now);
        Self { room, info, arrived, place: None, progress }
    }

    pub(crate) fn room(&self) -> &AdmissionControl<G> {
        &self.room
    }

    /// The call is admitted: its progress goes on from here.
    pub(crate) fn inside(&mut self) -> Inside {
        Inside::new(self.progress.take())
    }

    pub(crate) fn look(&mut self, cx: &mut Context<'_>, now: Tick) -> Turn<Slot<G::Token>> {
        let Self { room, info, arrived, place, progress } = self;
        let mut lane = room.lane(info.operation);
        let here = match *place {
            Some(here) => here,
            None if lane.waiting() >= room.queue() => {
                let reason = Reason::QueueFull { waiting: lane.waiting() };
                return Turn::Rejected(room.reject(&mut lane, info.operation, reason));
            }
            None => {
                let here = *place.insert(lane.join(*arrived, now, cx.waker()));
                if let Some(progress) = progress {
                    progress.joined(room.lines(), info.operation, here);
                }
                here
            }
        };
        let (turn, leaving) = decide(room, info, *arrived, &mut lane, here, now);
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
    room: &AdmissionControl<G>,
    info: &RequestInfo,
    arrived: Tick,
    lane: &mut Lane,
    here: Place,
    now: Tick,
) -> (Turn<Slot<G::Token>>, Option<Leaving>) {
    let deadline = info.deadline.unwrap_or(Tick::MAX);
    let rejected =
        |reason, leaving| (Turn::Rejected(room.rejection(info.operation, reason)), Some(leaving));
    let late = || rejected(Reason::TooLate { waited: now.since(arrived) }, Leaving::Late);
    if room.is_closed_to(info.operation) {
        return rejected(Reason::Draining, Leaving::Draining);
    }
    if now >= deadline {
        return late();
    }
    if !(lane.is_next(here) && lane.has_slot()) {
        return match room.gates().rejects(info, &TokioClock) {
            Some(rejection) => (Turn::Rejected(rejection), Some(Leaving::ByGate)),
            None => (Turn::Wait(deadline), None),
        };
    }
    match room.gates().take(info, now) {
        Take::Open(token) => {
            let slot = Slot::new(token, true, lane.next_is_a_trial());
            (Turn::Admitted(slot), Some(Leaving::Admitted))
        }
        Take::Reject(rejection) => (Turn::Rejected(rejection), Some(Leaving::ByGate)),
        Take::NotBefore(at, why) if at > deadline => (Turn::Rejected(why), Some(Leaving::ByGate)),
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
            let next = self.room.lane(self.info.operation).leave(here, Leaving::Dropped, now);
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
            .field("info", &self.info)
            .field("arrived", &self.arrived)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
