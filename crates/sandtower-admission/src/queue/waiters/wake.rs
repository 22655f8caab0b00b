//! Who is woken, and what becomes of those that do not look.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Deferred, RequestInfo, Tick};

use super::{Place, Waiters};

/// How long a call that was woken has time to look. Then the next one goes: its future may be held by
/// a task that does not poll it.
const TIME_TO_LOOK: Duration = Duration::from_secs(1);

/// A sentinel that was not seen for so long is not polled either.
const TIME_TO_BEAT: Duration = Duration::from_secs(2);

/// The call that looks once a second whether the others come when it is their turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sentinel {
    pub(super) place: Place,
    seen: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    NotYet,
    /// It was woken then, since it is next.
    Called(Tick),
    /// It was called and did not look in time: others go before it until it does.
    Absent,
}

impl Turn {
    pub(super) fn is_overdue(self, now: Tick) -> bool {
        matches!(self, Self::Called(at) if now >= at + TIME_TO_LOOK)
    }
}

impl Waiters {
    /// The call that was seen last is the likeliest to be polled.
    pub(super) fn seen(&mut self, place: Place, now: Tick) {
        self.sentinel = Some(Sentinel { place, seen: now });
    }

    /// The call at `place` is here: what it was called for, or held, is decided anew.
    pub(in crate::queue) fn looks(&mut self, place: Place, now: Tick) {
        let Some(waiter) = self.lists.get_mut(place) else { return };
        let at = waiter.flow;
        let turn = std::mem::replace(&mut waiter.turn, Turn::NotYet);
        if turn == Turn::Absent {
            self.flows[at as usize].absent -= 1;
            self.refresh(at);
        }
        if self.is_held_by(place, at) {
            self.resumed = now;
        }
        self.drop_holds_by(place, at);
        if self.should_turn(at, now) {
            self.turn(at);
        }
    }

    /// The waker is kept; what it replaces is dropped after unlocking. Returns when the call has to
    /// look again, if it is not woken before.
    pub(in crate::queue) fn sleep(
        &mut self,
        place: Place,
        waker: &Waker,
        now: Tick,
        later: &mut Deferred,
    ) -> Tick {
        let Some(waiter) = self.lists.get_mut(place) else { return Tick::MAX };
        if !waiter.waker.as_ref().is_some_and(|known| known.will_wake(waker))
            && let Some(old) = waiter.waker.replace(waker.clone())
        {
            later.run(move || drop(old));
        }
        match self.sentinel {
            Some(Sentinel { place: other, seen })
                if other != place && now < seen + TIME_TO_BEAT =>
            {
                Tick::MAX
            }
            _ => {
                self.seen(place, now);
                now + TIME_TO_LOOK
            }
        }
    }

    /// Wakes the next call, if it does not know of its turn yet.
    pub(in crate::queue) fn wake_next(&mut self, now: Tick, later: &mut Deferred) {
        let Some(next) = self.next(now) else { return };
        let Some(waiter) = self.lists.get_mut(next) else { return };
        if waiter.turn == Turn::NotYet {
            waiter.turn = Turn::Called(now);
            if let Some(waker) = waiter.waker.take() {
                later.wake(waker);
            }
        }
    }

    /// Appoints a call that will wait for long as the sentinel, if there is none.
    pub(in crate::queue) fn appoint_sentinel(&mut self, now: Tick, later: &mut Deferred) {
        if self.sentinel.is_some() {
            return;
        }
        let Some((_, at)) = self.classes.iter().rev().find_map(|class| class.longest()) else {
            return;
        };
        let flow = &self.flows[at as usize];
        let last = self.lists.places(flow.list, !flow.newest_first).next();
        self.sentinel = last.map(|place| Sentinel { place, seen: now });
        if let Some(waker) = last.and_then(|place| self.lists.get_mut(place)?.waker.take()) {
            later.wake(waker);
        }
    }

    pub(in crate::queue) fn wake_those(
        &mut self,
        mut wanted: impl FnMut(&RequestInfo) -> bool,
        later: &mut Deferred,
    ) {
        for waiter in self.lists.all_mut() {
            if waiter.waker.is_some()
                && wanted(&waiter.info)
                && let Some(waker) = waiter.waker.take()
            {
                later.wake(waker);
            }
        }
    }
}
