//! Calls that wait for a slot, and which of them is next.

mod wait_list;

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Deferred, Rejection, RequestInfo, Scope, Tenant, Tick};

pub(crate) use self::wait_list::Place;

use self::wait_list::WaitList;

/// In which order calls leave a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// How long calls may have waited before the newest goes first, until the queue is empty.
    pub(crate) newest_first_after: Duration,
    /// How long a call may wait where the newest may go first: without it, the oldest could wait for
    /// as long as the queue lasts.
    pub(crate) longest_wait: Duration,
}

/// How long a call that was woken has time to look. Then the next one goes: its future may be held by
/// a task that does not poll it.
const TIME_TO_LOOK: Duration = Duration::from_secs(1);

/// A sentinel that was not seen for so long is not polled either.
const TIME_TO_BEAT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Waiters {
    order: Order,
    list: WaitList<Waiter>,
    holds: Vec<Hold>,
    /// Since when calls wait.
    since: Option<Tick>,
    newest_first: bool,
    /// The call that is next, if that is known: finding it may mean to walk past all that are held.
    next: Option<Option<Place>>,
    sentinel: Option<Sentinel>,
}

/// The call that looks once a second whether the others come when it is their turn.
#[derive(Clone, Copy, Debug)]
struct Sentinel {
    place: Place,
    seen: Tick,
}

#[derive(Debug)]
struct Waiter {
    info: RequestInfo,
    joined: Tick,
    /// `None`: it was woken, and has not looked since.
    waker: Option<Waker>,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    NotYet,
    /// It was woken then, since it is next.
    Called(Tick),
    /// It was called and did not look in time: others go before it until it does.
    Absent,
}

/// A gate says no to all calls of this scope and tenant.
#[derive(Debug)]
struct Hold {
    scope: Scope,
    tenant: Tenant,
    /// The call that looks again then.
    by: Place,
    until: Tick,
    why: Rejection,
}

impl Hold {
    fn covers(&self, info: &RequestInfo) -> bool {
        self.scope == info.scope && self.tenant == info.tenant
    }
}

impl Waiters {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            list: WaitList::new(),
            holds: Vec::new(),
            since: None,
            newest_first: false,
            next: None,
            sentinel: None,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn is_newest_first(&self) -> bool {
        self.newest_first
    }

    pub(super) fn held_by(&self) -> Option<&Rejection> {
        self.holds.first().map(|hold| &hold.why)
    }

    pub(super) fn join(&mut self, info: &RequestInfo, arrived: Tick, now: Tick) -> Place {
        self.since.get_or_insert(now);
        self.next = None;
        let waiter = Waiter { info: *info, joined: now, waker: None, turn: Turn::NotYet };
        let place = self.list.join(arrived, waiter);
        // The call that was seen last is the likeliest to be polled.
        self.sentinel = Some(Sentinel { place, seen: now });
        place
    }

    pub(super) fn leave(&mut self, place: Place) -> Option<Option<Waker>> {
        let waiter = self.list.leave(place)?;
        self.next = None;
        self.holds.retain(|hold| hold.by != place);
        if self.sentinel.is_some_and(|sentinel| sentinel.place == place) {
            self.sentinel = None;
        }
        if self.list.is_empty() {
            (self.since, self.newest_first) = (None, false);
        }
        Some(waiter.waker)
    }

    pub(super) fn ahead(&self, place: Place) -> Option<usize> {
        let before = self.list.ahead(place)?;
        Some(if self.newest_first { self.list.len() - 1 - before } else { before })
    }

    /// How many go before a call that arrived at `arrived`.
    pub(super) fn would_be_ahead(&self, arrived: Tick) -> usize {
        let before = self.list.arrived_by(arrived);
        if self.newest_first { self.list.len() - before } else { before }
    }

    pub(super) fn leaves_at(&self, place: Place) -> Tick {
        match self.list.get(place) {
            Some(waiter) if self.may_turn() => waiter.joined + self.order.longest_wait,
            _ => Tick::MAX,
        }
    }

    fn may_turn(&self) -> bool {
        self.order.newest_first_after < Duration::MAX
    }

    /// The call at `place` is here: what it was called for, or held, is decided anew.
    pub(super) fn looks(&mut self, place: Place, now: Tick) {
        if let Some(waiter) = self.list.get_mut(place)
            && waiter.turn != Turn::NotYet
        {
            waiter.turn = Turn::NotYet;
            self.next = None;
        }
        self.drop_holds(|hold| hold.by == place);
        self.turn_order(now);
    }

    /// The next call, past those that a gate holds and those that were called and do not look.
    pub(super) fn next(&mut self, now: Tick) -> Option<Place> {
        loop {
            let next = self.next.unwrap_or_else(|| self.candidates().next());
            self.next = Some(next);
            let next = next?;
            let waiter = self.list.get_mut(next)?;
            match waiter.turn {
                Turn::Called(at) if now >= at + TIME_TO_LOOK => waiter.turn = Turn::Absent,
                _ => return Some(next),
            }
            self.next = None;
        }
    }

    /// The waker is kept; what it replaces is dropped after unlocking. Answers when the call has to
    /// look again, if it is not woken before.
    pub(super) fn sleep(
        &mut self,
        place: Place,
        waker: &Waker,
        now: Tick,
        later: &mut Deferred,
    ) -> Tick {
        let Some(waiter) = self.list.get_mut(place) else { return Tick::MAX };
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
                self.sentinel = Some(Sentinel { place, seen: now });
                now + TIME_TO_LOOK
            }
        }
    }

    pub(super) fn hold(&mut self, place: Place, until: Tick, why: Rejection) {
        let Some(waiter) = self.list.get(place) else { return };
        let RequestInfo { scope, tenant, .. } = waiter.info;
        self.holds.retain(|hold| !(hold.scope == scope && hold.tenant == tenant));
        self.holds.push(Hold { scope, tenant, by: place, until, why });
        self.next = None;
    }

    /// Whether there was any.
    pub(super) fn release_holds(&mut self) -> bool {
        let held = !self.holds.is_empty();
        self.drop_holds(|_| true);
        held
    }

    fn drop_holds(&mut self, mut which: impl FnMut(&Hold) -> bool) {
        let before = self.holds.len();
        self.holds.retain(|hold| !which(hold));
        if self.holds.len() < before {
            self.next = None;
        }
    }

    /// Wakes the next call, if it does not know of its turn yet.
    pub(super) fn wake_next(&mut self, now: Tick, later: &mut Deferred) {
        self.turn_order(now);
        self.drop_holds(|hold| now >= hold.until);
        let Some(next) = self.next(now) else { return };
        let Some(waiter) = self.list.get_mut(next) else { return };
        if waiter.turn == Turn::NotYet {
            waiter.turn = Turn::Called(now);
            if let Some(waker) = waiter.waker.take() {
                later.wake(waker);
            }
        }
    }

    /// Appoints the call that will wait longest as the sentinel, if there is none.
    pub(super) fn appoint_sentinel(&mut self, now: Tick, later: &mut Deferred) {
        if self.sentinel.is_some() {
            return;
        }
        let last = self.list.places(!self.newest_first).next();
        self.sentinel = last.map(|place| Sentinel { place, seen: now });
        if let Some(waker) = last.and_then(|place| self.list.get_mut(place)?.waker.take()) {
            later.wake(waker);
        }
    }

    pub(super) fn wake_those(
        &mut self,
        mut wanted: impl FnMut(&RequestInfo) -> bool,
        later: &mut Deferred,
    ) {
        let places: Vec<_> = self.list.places(false).collect();
        for place in places {
            if let Some(waiter) = self.list.get_mut(place)
                && waiter.waker.is_some()
                && wanted(&waiter.info)
                && let Some(waker) = waiter.waker.take()
            {
                later.wake(waker);
            }
        }
    }

    fn candidates(&self) -> impl Iterator<Item = Place> {
        self.list.places(self.newest_first).filter(|place| {
            self.list.get(*place).is_some_and(|waiter| {
                waiter.turn != Turn::Absent
                    && !self.holds.iter().any(|hold| hold.covers(&waiter.info))
            })
        })
    }

    /// Once calls have waited for too long, the newest goes first until the queue is empty.
    fn turn_order(&mut self, now: Tick) {
        let stands = |since| now.since(since) >= self.order.newest_first_after;
        if !self.newest_first && self.since.is_some_and(stands) {
            (self.newest_first, self.next) = (true, None);
        }
    }
}
