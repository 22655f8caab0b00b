//! The place of a call in the queue, owned by its future.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Deferred, Gate, No, Now, Reason, Rejection, RequestInfo, Tick, recording};

use crate::control::{AdmissionControl, Held, Waits};
use crate::limits::Reached;
use crate::progress::{Admitted, Progress};
use crate::queue::{Leaving, Place, Why};
use crate::slot::{Slot, SlotPlace};
use crate::state::State;

/// Leaves the queue when dropped, which wakes the next call.
pub(crate) struct Ticket<G: Gate> {
    control: AdmissionControl<G>,
    info: RequestInfo,
    arrived: Tick,
    /// `None` until the future is first polled: a call that is never polled must not block a queue.
    place: Option<Place>,
    progress: Option<Progress>,
}

/// The result of checking the queue.
pub(crate) enum Look<P> {
    Admitted(Slot<P>),
    Rejected(Rejection),
    /// Check again at this instant, or when woken.
    Wait(Tick),
}

/// The shortest hold. Without it, a gate whose `look_again` is not in the future would be checked in a
/// busy loop.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// How long a call that is not held through an outage waits for a probe in flight. A service that has
/// recovered usually responds within this time; one that hangs does not.
const LONGEST_PROBE: Duration = Duration::from_millis(50);

impl<G: Gate> Ticket<G> {
    /// A ticket that joins the queue at the arrival time of its call, which may be long before `now`.
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
        Admitted::new(self.progress.take(), self.info.operation)
    }

    pub(crate) fn look(&mut self, waker: &Waker, now: &Now) -> Look<G::Permit> {
        // Declared before the lock, so that they are dropped after it.
        let mut later = Deferred::new();
        let _gone: Option<Waker>;
        let Self { control, info, arrived, place, progress } = self;
        let mut state = control.lock();
        let queue = state.queue(info.operation, control.config());
        let here = match *place {
            Some(here) if queue.contains(here) => here,
            // Another call displaced it.
            Some(_) => {
                *place = None;
                progress.iter().for_each(Progress::left);
                return Look::Rejected(control.full(&mut state, info, now.tick()));
            }
            None => match control.join(&mut state, info, *arrived, now, &mut later) {
                Ok(here) => {
                    if let Some(progress) = progress {
                        progress.joined(control.as_queues(), info.operation, here);
                    }
                    *place.insert(here)
                }
                Err(rejection) => return Look::Rejected(rejection),
            },
        };
        let mut call = Call { control, info, arrived: *arrived, here, state: &mut state };
        let (look, leaving) = call.decide(now, &mut later);
        let look = match leaving {
            None => {
                let Look::Wait(until) = look else {
                    unreachable!("a call that is admitted or rejected leaves the queue")
                };
                if recording::is_on() {
                    recording::joined_queue(now.tick());
                    let held_by = control.waits_for(&mut state, info.operation, here);
                    held_by.iter().for_each(recording::held_by);
                }
                let queue = state.queue(info.operation, control.config());
                Look::Wait(until.min(queue.wait_on(here, waker, now.tick(), &mut later)))
            }
            Some(leaving) => {
                *place = None;
                recording::left_queue(now.tick());
                _gone = state.leave(info.operation, here, leaving, now.tick());
                progress.iter().for_each(Progress::left);
                look
            }
        };
        state.advance(info.operation, now.tick(), &mut later);
        look
    }
}

/// A call that waits, under the lock.
struct Call<'a, G: Gate> {
    control: &'a AdmissionControl<G>,
    info: &'a RequestInfo,
    arrived: Tick,
    here: Place,
    state: &'a mut State,
}

type Decision<P> = (Look<P>, Option<Leaving>);

impl<G: Gate> Call<'_, G> {
    /// The result, and why the call leaves the queue, if it does.
    fn decide(&mut self, now: &Now, later: &mut Deferred) -> Decision<G::Permit> {
        let (control, info, here) = (self.control, self.info, self.here);
        let reject = |reason, leaving| {
            (Look::Rejected(control.rejection(info.operation, reason)), Some(leaving))
        };
        if control.is_closed_to(info.operation) {
            return reject(Reason::Draining, Leaving::ShuttingDown);
        }
        let queue = self.state.queue(info.operation, control.config());
        let leaves_at = queue.leaves_at(here, now.tick());
        let deadline = info.deadline.unwrap_or(Tick::MAX).min(leaves_at);
        if now.tick() >= deadline {
            let waited = now.tick().since(self.arrived);
            return reject(Reason::TooLate { waited }, Leaving::Late);
        }
        queue.looks(here, now.tick());
        if !self.state.is_turn_of(info.operation, here, now.tick()) {
            return match control.check_gates(info, now) {
                Some(Held { no, .. }) if no.is_hopeless(Some(deadline)) => {
                    by_gate(no.into_rejection())
                }
                Some(Held { no, why: Waits::Probe }) => self.waits_for_probe(no, deadline, now),
                _ => (Look::Wait(deadline), None),
            };
        }
        let Some(seat) = self.state.queue(info.operation, control.config()).seat(here) else {
            return (Look::Wait(deadline), None);
        };
        if let Some(reached) = self.state.reached(info.operation, seat, now.tick()) {
            return self.limited(reached, deadline, now);
        }
        match control.acquire(info, now, later) {
            Ok(permit) => {
                self.state.served(info, seat);
                let taken = self.state.admit(info.operation, seat, now.tick());
                let slot = Slot { gates: Some(permit), place: SlotPlace::Taken(taken, seat) };
                (Look::Admitted(slot), Some(Leaving::Admitted))
            }
            Err(held) => self.held(held, deadline, now),
        }
    }

    /// Handles a call that a gate does not admit.
    fn held(&mut self, held: Held, deadline: Tick, now: &Now) -> Decision<G::Permit> {
        let Held { no, why: waits } = held;
        let rejects_all = self.control.rejects_any_tenant(self.info, now);
        match no {
            no if no.is_hopeless(Some(deadline)) => by_gate(no.into_rejection()),
            No::Closed { why, .. } => by_gate(why),
            No::Wait { look_again, why, .. } => {
                let until = look_again.max(now.tick() + SHORTEST_HOLD);
                let boxed = Box::new(why.clone());
                let held = match waits {
                    Waits::Outage => Why::Outage(boxed),
                    Waits::Gate | Waits::Probe => Why::Gate(boxed),
                };
                self.queue_hold(until, held, rejects_all);
                if waits == Waits::Probe {
                    let no = No::Wait { earliest: until, look_again: until, why };
                    return self.waits_for_probe(no, until.min(deadline), now);
                }
                (Look::Wait(until.min(deadline)), None)
            }
        }
    }

    /// Handles a call that is not held through an outage while a probe is in flight: it is rejected soon
    /// unless the probe succeeds.
    fn waits_for_probe(&mut self, no: No, deadline: Tick, now: &Now) -> Decision<G::Permit> {
        let queue = self.state.queue(self.info.operation, self.control.config());
        let until = queue.joined(self.here).unwrap_or(Tick::ZERO) + LONGEST_PROBE;
        if now.tick() >= until {
            by_gate(no.into_rejection())
        } else {
            (Look::Wait(until.min(deadline)), None)
        }
    }

    /// Handles a call that a shared limit holds.
    fn limited(&mut self, reached: Reached, deadline: Tick, now: &Now) -> Decision<G::Permit> {
        let (control, info) = (self.control, self.info);
        let queue = self.state.queue(info.operation, control.config());
        let Some(seat) = queue.seat(self.here) else { return (Look::Wait(deadline), None) };
        // It stays the next call of all queues, and is woken when the limit allows.
        if reached == Reached::Total {
            return (Look::Wait(deadline), None);
        }
        let why = control.limit_rejection(self.state, info, seat, reached, now.tick());
        if control.is_too_late(reached, Some(deadline)) {
            return (Look::Rejected(why), Some(Leaving::ByLimit));
        }
        let until = reached.until().unwrap_or(Tick::MAX);
        if reached == Reached::Tenant {
            self.state.limits.park(seat, info.operation);
        }
        let wide = self.state.limits.is_wide(reached);
        self.queue_hold(until, Why::Limit(Box::new(why)), wide);
        (Look::Wait(until.min(deadline)), None)
    }

    fn queue_hold(&mut self, until: Tick, why: Why, wide: bool) {
        let queue = self.state.queue(self.info.operation, self.control.config());
        queue.hold(self.here, until, why, wide);
    }
}

fn by_gate<P>(why: Rejection) -> Decision<P> {
    (Look::Rejected(why), Some(Leaving::ByGate))
}

impl<G: Gate> Drop for Ticket<G> {
    fn drop(&mut self) {
        let Some(here) = self.place.take() else { return };
        let mut later = Deferred::new();
        let _gone: Option<Waker>;
        let now = Tick::now();
        {
            let mut state = self.control.lock();
            _gone = state.leave(self.info.operation, here, Leaving::Dropped, now);
            state.advance(self.info.operation, now, &mut later);
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
