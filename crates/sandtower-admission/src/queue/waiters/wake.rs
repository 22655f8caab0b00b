//! Wakes calls, and skips those that are not polled in time.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Deferred, RequestInfo, Tick};

use super::{Place, Waiters};

/// How long a woken call may take to be polled. After that the next one goes: its future may belong to
/// a task that does not poll it.
const TIME_TO_LOOK: Duration = Duration::from_secs(1);

/// A sentinel that was not polled for this long is replaced.
const TIME_TO_BEAT: Duration = Duration::from_secs(2);

/// The call that checks once a second whether woken calls are polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sentinel {
    pub(super) place: Place,
    seen: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    NotYet,
    /// Woken at this instant, as it is next.
    Called(Tick),
    /// Woken and not polled in time: others go first until it is polled.
    Absent,
}

impl Turn {
    pub(super) fn is_overdue(self, now: Tick) -> bool {
        matches!(self, Self::Called(at) if now >= at + TIME_TO_LOOK)
    }
}

impl Waiters {
    /// The call polled last is the most likely to be polled again.
    pub(super) fn seen(&mut self, place: Place, now: Tick) {
        self.sentinel = Some(Sentinel { place, seen: now });
    }

    /// Records that the call at `place` was polled: whether it is next or held is decided again.
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

    /// Stores the waker; the one it replaces is dropped after unlocking. Returns when to poll the call
    /// again unless it is woken earlier.
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

    /// Wakes the next call unless it was woken already.
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

    /// Makes a call that will wait for long the sentinel, if there is none.
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
