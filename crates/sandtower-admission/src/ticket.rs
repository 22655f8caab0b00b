//! A call's place in the queue, in the hands of its future.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{
    Deferred, Gate, No, Now, Operation, Reason, Rejection, RequestInfo, Tick, recording,
};

use crate::control::AdmissionControl;
use crate::progress::{Admitted, Progress};
use crate::queue::{Leaving, OperationQueue, Place};
use crate::slot::{Slot, SlotPlace};

/// Leaves the queue when dropped, and sees to it that the next call is woken.
pub(crate) struct Ticket<G: Gate> {
    control: AdmissionControl<G>,
    info: RequestInfo,
    arrived: Tick,
    /// `None` until the future is first polled: a call that is never polled must not block a queue.
    place: Option<Place>,
    progress: Option<Progress>,
}

/// What a look at the queue says.
pub(crate) enum Look<P> {
    Admitted(Slot<P>),
    Rejected(Rejection),
    /// Look again at this instant, or when woken.
    Wait(Tick),
}

/// The shortest hold. Without it, a gate whose `look_again` is not in the future would be checked
/// without end.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

impl<G: Gate> Ticket<G> {
    /// Will join the queue at its call's time of arrival, which may be long before `now`.
    pub(crate) fn new(
        control: AdmissionControl<G>,
        info: RequestInfo,
        now: Tick,
        progress: Option<Progress>,
    ) -> Self {
        let arrived = info.arrived.unwrap_or(now);
        Self { control, info, arrived, place: None, progress }
    }

    pub(crate) fn control(&self) -> &AdmissionControl<G> {
        &self.control
    }

    /// The call is admitted: its progress goes on from here.
    pub(crate) fn admitted(&mut self) -> Admitted {
        Admitted::new(self.progress.take())
    }

    pub(crate) fn look(&mut self, waker: &Waker, now: &Now) -> Look<G::Permit> {
        // Before the lock, so that they go after it.
        let mut later = Deferred::new();
        let _gone: Option<Waker>;
        let Self { control, info, arrived, place, progress } = self;
        let mut queue = control.queue(info.operation);
        let here = match *place {
            Some(here) => here,
            None if queue.waiting() >= control.longest_queue() => {
                let reason = Reason::QueueFull { waiting: queue.waiting() };
                return Look::Rejected(control.reject(&mut queue, info.operation, reason));
            }
            None => {
                let here = *place.insert(queue.join(info, *arrived, now.tick()));
                if let Some(progress) = progress {
                    progress.joined(control.as_queues(), info.operation, here);
                }
                here
            }
        };
        let (look, leaving) = decide(control, info, *arrived, &mut queue, here, now, &mut later);
        let look = match leaving {
            None => {
                let Look::Wait(until) = look else {
                    unreachable!("a call that is admitted or rejected leaves the queue")
                };
                if recording::is_on() {
                    report_wait(control, info.operation, &queue, now.tick());
                }
                Look::Wait(until.min(queue.wait_on(here, waker, now.tick(), &mut later)))
            }
            Some(leaving) => {
                *place = None;
                recording::left_queue(now.tick());
                _gone = queue.leave(here, leaving, now.tick());
                if let Some(progress) = progress {
                    progress.left();
                }
                look
            }
        };
        queue.advance(now.tick(), &mut later);
        look
    }
}

/// Reports what the call waits for.
fn report_wait<G: Gate>(
    control: &AdmissionControl<G>,
    operation: Operation,
    queue: &OperationQueue,
    now: Tick,
) {
    recording::joined_queue(now);
    match queue.held_by() {
        Some(why) => recording::held_by(why),
        None if queue.has_slot() => {}
        None => {
            let limit = queue.limit();
            recording::held_by(&control.rejection(operation, Reason::Full { limit }));
        }
    }
}

/// What comes next for the call that waits at `here`; and if it leaves the queue, why.
fn decide<G: Gate>(
    control: &AdmissionControl<G>,
    info: &RequestInfo,
    arrived: Tick,
    queue: &mut OperationQueue,
    here: Place,
    now: &Now,
    later: &mut Deferred,
) -> (Look<G::Permit>, Option<Leaving>) {
    let reject = |reason, leaving| {
        (Look::Rejected(control.rejection(info.operation, reason)), Some(leaving))
    };
    let by_gate = |why| (Look::Rejected(why), Some(Leaving::ByGate));
    if control.is_closed_to(info.operation) {
        return reject(Reason::Draining, Leaving::ShuttingDown);
    }
    let deadline = info.deadline.unwrap_or(Tick::MAX).min(queue.leaves_at(here));
    if now.tick() >= deadline {
        let waited = now.tick().since(arrived);
        return reject(Reason::TooLate { waited }, Leaving::Late);
    }
    queue.looks(here, now.tick());
    if !queue.is_turn_of(here, now.tick()) {
        return match control.check_gates(info, now) {
            Some(no) if no.is_hopeless(Some(deadline)) => by_gate(no.into_rejection()),
            _ => (Look::Wait(deadline), None),
        };
    }
    match control.acquire(info, now, later) {
        Ok(permit) => {
            let taken = queue.admit(now.tick());
            let slot = Slot { gates: Some(permit), place: SlotPlace::Taken(taken) };
            (Look::Admitted(slot), Some(Leaving::Admitted))
        }
        Err(no) if no.is_hopeless(Some(deadline)) => by_gate(no.into_rejection()),
        Err(No::Closed { why, .. }) => by_gate(why),
        Err(No::Wait { look_again, why, .. }) => {
            let until = look_again.max(now.tick() + SHORTEST_HOLD);
            queue.hold(here, until, why);
            (Look::Wait(until.min(deadline)), None)
        }
    }
}

impl<G: Gate> Drop for Ticket<G> {
    fn drop(&mut self) {
        let Some(here) = self.place.take() else { return };
        let mut later = Deferred::new();
        let _gone: Option<Waker>;
        let now = Tick::now();
        {
            let mut queue = self.control.queue(self.info.operation);
            _gone = queue.leave(here, Leaving::Dropped, now);
            queue.advance(now, &mut later);
        }
        if let Some(progress) = &self.progress {
            progress.left();
        }
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
