//! Queued calls, and which of them is next.

mod class;
mod flow;
mod hold;
mod lists;
mod position;
#[cfg(test)]
mod tests;
mod wake;

use std::collections::{BTreeSet, HashMap};
use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Priority, RequestInfo, Scope, Tenant, Tick};

pub(crate) use self::class::{Turns, UNIT};
pub(crate) use self::hold::Why;
pub(crate) use self::lists::Place;
pub(crate) use self::position::Ahead;

use self::class::{Class, length};
use self::flow::Flow;
use self::hold::Hold;
use self::lists::Lists;
use self::wake::{Sentinel, Turn};
use crate::limits::RowId;

/// The order in which calls leave a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// The waiting time beyond which the newest call goes first, until the queue is empty.
    pub(crate) newest_first_after: Duration,
    /// The longest time a call may wait where the newest may go first. Without it, the oldest could
    /// wait until the queue is empty.
    pub(crate) longest_wait: Duration,
}

/// The queued calls of one operation: by class, then tenant, then arrival.
///
/// | of several | the next one |
/// |---|---|
/// | classes | the highest; a lower class that waits gets a twentieth ([`Turns`]) |
/// | tenants of a class | the one that got least so far, relative to its weight ([`Class`]) |
/// | calls of a tenant | the oldest; the newest once calls have waited too long |
///
/// Calls that are held, or not polled when woken, are skipped.
#[derive(Debug)]
pub(super) struct Waiters {
    order: Order,
    lists: Lists<Waiter>,
    flows: Vec<Flow>,
    /// Of `flows`, those in use.
    index: HashMap<(Tenant, usize), u32>,
    unused: Vec<u32>,
    classes: [Class; Priority::ALL.len()],
    turns: Turns,
    /// Holds of calls of every tenant.
    wide: Vec<Hold>,
    /// When which tenant is no longer held.
    expiries: BTreeSet<(Tick, u32)>,
    /// The scope of the calls, and whether there are others too.
    scope: Scope,
    has_scopes: bool,
    /// When calls were last held through an outage. That time does not count as waiting.
    resumed: Tick,
    newest_first: u32,
    sentinel: Option<Sentinel>,
}

#[derive(Debug)]
struct Waiter {
    info: RequestInfo,
    joined: Tick,
    /// `None`: woken, and not polled since.
    waker: Option<Waker>,
    turn: Turn,
    flow: u32,
    seat: Seat,
}

/// What a call is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) row: RowId,
    pub(crate) weight: u32,
}

impl Waiters {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            lists: Lists::new(),
            flows: Vec::new(),
            index: HashMap::new(),
            unused: Vec::new(),
            classes: Default::default(),
            turns: Turns::default(),
            wide: Vec::new(),
            expiries: BTreeSet::new(),
            scope: Scope::ALL,
            has_scopes: false,
            resumed: Tick::ZERO,
            newest_first: 0,
            sentinel: None,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub(super) fn waiting(&self) -> [u32; Priority::ALL.len()] {
        [0, 1, 2].map(|class| self.classes[class].waiting)
    }

    pub(super) fn is_newest_first(&self) -> bool {
        self.newest_first > 0
    }

    pub(super) fn contains(&self, place: Place) -> bool {
        self.lists.get(place).is_some()
    }

    pub(super) fn seat(&self, place: Place) -> Option<Seat> {
        self.lists.get(place).map(|waiter| waiter.seat)
    }

    pub(super) fn joined(&self, place: Place) -> Option<Tick> {
        self.lists.get(place).map(|waiter| waiter.joined)
    }

    pub(super) fn class(&self, place: Place) -> Option<usize> {
        self.lists.get(place).map(|waiter| waiter.info.priority.index())
    }

    /// `weight` is the weight of the tenant.
    pub(super) fn join(
        &mut self,
        info: &RequestInfo,
        seat: Seat,
        weight: u32,
        arrived: Tick,
        now: Tick,
    ) -> Place {
        if self.is_empty() {
            (self.scope, self.has_scopes) = (info.scope, false);
        }
        self.has_scopes |= self.scope != info.scope;
        let flow = self.flow_of(info, weight, now);
        let waiter =
            Waiter { info: *info, joined: now, waker: None, turn: Turn::NotYet, flow, seat };
        let Self { lists, flows, classes, .. } = self;
        let its = &mut flows[flow as usize];
        its.has_scopes |= its.scope != info.scope;
        let place = lists.join(&mut its.list, arrived, waiter);
        let class = &mut classes[its.class];
        class.waiting += 1;
        class.since.get_or_insert(now);
        class.resize(flow, its.weight, its.list.len() - 1, its.list.len());
        self.refresh(flow);
        self.seen(place, now);
        place
    }

    fn flow_of(&mut self, info: &RequestInfo, weight: u32, now: Tick) -> u32 {
        let class = info.priority.index();
        if let Some(&flow) = self.index.get(&(info.tenant, class)) {
            return flow;
        }
        let mut flow = Flow::new(info.tenant, class, weight.max(1), info.scope, now);
        flow.clock = self.classes[class].clock(flow.weight);
        self.classes[class].weights += u64::from(flow.weight);
        let at = match self.unused.pop() {
            Some(at) => {
                self.flows[at as usize] = flow;
                at
            }
            None => {
                self.flows.push(flow);
                // There are no more tenants than waiters.
                u32::try_from(self.flows.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert((info.tenant, class), at);
        at
    }

    /// Removes the call at `place`; `served` if it was admitted.
    pub(super) fn leave(&mut self, place: Place, served: bool) -> Option<(Seat, Option<Waker>)> {
        let at = self.lists.get(place)?.flow;
        let ready = self.ready();
        let Self { lists, flows, classes, turns, .. } = self;
        let flow = &mut flows[at as usize];
        let waiter = lists.leave(&mut flow.list, place)?;
        flow.absent -= u32::from(waiter.turn == Turn::Absent);
        let class = &mut classes[flow.class];
        class.waiting -= 1;
        class.resize(at, flow.weight, flow.list.len() + 1, flow.list.len());
        if class.waiting == 0 {
            class.since = None;
        }
        if served {
            if std::mem::take(&mut flow.is_ready) {
                class.unset_ready(at, flow.clock);
            }
            flow.clock = class.served(flow.clock, waiter.seat.weight, flow.weight);
            turns.served(flow.class, waiter.seat.weight, ready);
        }
        self.drop_holds_by(place, at);
        self.refresh(at);
        if self.flows[at as usize].list.is_empty() {
            self.retire(at);
        }
        if self.sentinel.is_some_and(|sentinel| sentinel.place == place) {
            self.sentinel = None;
        }
        Some((waiter.seat, waiter.waker))
    }

    /// Removes a tenant that has no queued calls left.
    fn retire(&mut self, at: u32) {
        let flow = &mut self.flows[at as usize];
        self.newest_first -= u32::from(flow.newest_first);
        self.classes[flow.class].weights -= u64::from(flow.weight);
        for hold in std::mem::take(&mut flow.holds) {
            self.expiries.remove(&(hold.until, at));
        }
        self.index.remove(&(flow.tenant, flow.class));
        self.unused.push(at);
    }

    /// Finds the next call of a tenant after a change.
    fn refresh(&mut self, at: u32) {
        let Self { lists, flows, classes, .. } = self;
        let flow = &mut flows[at as usize];
        let mut places = lists.places(flow.list, flow.newest_first);
        flow.next = if flow.holds.is_empty() && flow.absent == 0 {
            places.next()
        } else if !flow.has_scopes && flow.covers(flow.scope) {
            None
        } else {
            places.find(|&place| {
                lists.get(place).is_some_and(|waiter| {
                    waiter.turn != Turn::Absent && !flow.covers(waiter.info.scope)
                })
            })
        };
        let class = &mut classes[flow.class];
        match (flow.is_ready, flow.next.is_some()) {
            (false, true) => {
                flow.clock = class.caught_up(flow.clock);
                class.set_ready(at, flow.clock);
            }
            (true, false) => class.unset_ready(at, flow.clock),
            _ => {}
        }
        flow.is_ready = flow.next.is_some();
    }

    /// Which classes have calls that may go.
    fn ready(&self) -> [bool; Priority::ALL.len()] {
        [0, 1, 2].map(|class| self.classes[class].is_ready())
    }

    /// The next call, skipping calls that are held and calls that were woken and not polled.
    pub(super) fn next(&mut self, now: Tick) -> Option<Place> {
        self.expire_holds(now);
        loop {
            let (at, place) = self.candidate()?;
            if self.should_turn(at, now) {
                self.turn(at);
                continue;
            }
            let waiter = self.lists.get_mut(place)?;
            if !waiter.turn.is_overdue(now) {
                return Some(place);
            }
            waiter.turn = Turn::Absent;
            self.flows[at as usize].absent += 1;
            self.refresh(at);
        }
    }

    fn candidate(&self) -> Option<(u32, Place)> {
        if self.wide.is_empty() {
            let class = self.turns.next(self.ready())?;
            let at = self.classes[class].ready().next()?;
            return self.flows[at as usize].next.map(|place| (at, place));
        }
        if !self.has_scopes && self.is_held(self.scope) {
            return None;
        }
        let first = |class: &Class| class.ready().find_map(|at| Some((at, self.free_of(at)?)));
        let firsts = [0, 1, 2].map(|class| first(&self.classes[class]));
        firsts[self.turns.next(firsts.map(|first| first.is_some()))?]
    }

    /// The next call of a tenant that no hold of all tenants covers.
    fn free_of(&self, at: u32) -> Option<Place> {
        let flow = &self.flows[at as usize];
        if !flow.has_scopes {
            return flow.next.filter(|_| !self.is_held(flow.scope));
        }
        self.lists.places(flow.list, flow.newest_first).find(|&place| {
            self.lists.get(place).is_some_and(|waiter| {
                let scope = waiter.info.scope;
                waiter.turn != Turn::Absent && !flow.covers(scope) && !self.is_held(scope)
            })
        })
    }

    /// Whether the calls of a tenant have waited so long that the newest should go first. Time held
    /// through an outage does not count.
    fn should_turn(&self, at: u32, now: Tick) -> bool {
        let flow = &self.flows[at as usize];
        let since = flow.since.max(self.resumed);
        !flow.newest_first
            && now.since(since) >= self.order.newest_first_after
            && !flow.holds.iter().chain(&self.wide).any(|hold| hold.why.is_outage())
    }

    fn turn(&mut self, at: u32) {
        self.flows[at as usize].newest_first = true;
        self.newest_first += 1;
        self.refresh(at);
    }

    /// The call, if any, that one of `class` and `tenant` displaces: the one that would be served last, of
    /// the lowest class below it or of a tenant of its class with more queued work.
    pub(super) fn sheds(&self, class: usize, tenant: Tenant, weight: u32) -> Option<Place> {
        let lower = (class + 1..self.classes.len()).rev();
        let lower = lower.filter_map(|lower| self.classes[lower].longest()).next();
        let of_class = || {
            let own = self.index.get(&(tenant, class)).map(|&at| &self.flows[at as usize]);
            let own = own.map_or(0, |flow| flow.list.len());
            self.classes[class].longest().filter(|&(longest, _)| longest > length(own + 1, weight))
        };
        let (_, at) = lower.or_else(of_class)?;
        let flow = &self.flows[at as usize];
        self.lists.places(flow.list, !flow.newest_first).next()
    }

    /// Whether interactive calls have waited too long, and not for a gate.
    pub(super) fn stands(&self, now: Tick) -> bool {
        let since = self.classes[Priority::Interactive.index()].since;
        self.wide.is_empty()
            && since.is_some_and(|since| now.since(since) >= self.order.newest_first_after)
    }
}
