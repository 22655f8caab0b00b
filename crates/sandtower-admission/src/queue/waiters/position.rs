//! The position of a call, and how long it may wait.

use std::time::Duration;

use sandtower_core::{Rejection, RequestInfo, Tenant, Tick};

use super::{Place, Waiters};
use crate::waiting::Standing;

/// Number of calls ahead of another in the current order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) calls: usize,
    /// Other tenants or classes have queued calls too: what they get until then is an estimate.
    pub(crate) about: bool,
}

impl Waiters {
    /// What the call at `place`, or the whole queue, waits for.
    pub(in crate::queue) fn held_by(&self, place: Place) -> Option<&Rejection> {
        let waiter = self.lists.get(place)?;
        let own = &self.flows[waiter.flow as usize].holds;
        let own = own.iter().find(|hold| hold.covers(waiter.info.scope));
        own.or_else(|| self.wide.first()).map(|hold| hold.why.rejection())
    }

    pub(in crate::queue) fn standing(&self) -> impl Iterator<Item = Standing> {
        self.index.iter().filter_map(|(&(tenant, class), &at)| {
            let list = self.flows[at as usize].list;
            let oldest = self.lists.places(list, false).next()?;
            let joined = self.lists.get(oldest)?.joined;
            Some(Standing { tenant, class, calls: list.len(), oldest, joined })
        })
    }

    pub(in crate::queue) fn ahead(&self, place: Place) -> Option<Ahead> {
        let flow = &self.flows[self.lists.get(place)?.flow as usize];
        let before = self.lists.ahead(flow.list, place)?;
        let last = flow.list.len() as usize - 1;
        let own = if flow.newest_first { last - before } else { before };
        let about = self.index.len() > 1;
        if !about {
            return Some(Ahead { calls: own, about });
        }
        let above = self.above(flow.class);
        // Until its tenant reaches this call, each other tenant gets as much, by weight.
        let rounds = own as u64 + 1;
        let others = self.index.values().map(|&at| &self.flows[at as usize]);
        let others =
            others.filter(|other| other.class == flow.class && other.tenant != flow.tenant);
        let others: u64 = others
            .map(|other| {
                let gets = rounds * u64::from(other.weight) / u64::from(flow.weight);
                gets.min(u64::from(other.list.len()))
            })
            .sum();
        let others = usize::try_from(others).unwrap_or(usize::MAX);
        Some(Ahead { calls: above + own + others, about })
    }

    /// An upper bound on the calls ahead of a call of `info`, of a tenant of this weight, that arrived at
    /// `arrived`. Constant time, except for calls of its own tenant that arrived later.
    pub(in crate::queue) fn would_be_ahead(
        &self,
        info: &RequestInfo,
        weight: u32,
        arrived: Tick,
    ) -> usize {
        let class = info.priority.index();
        let (own, own_len) = self.own_ahead(info.tenant, class, arrived);
        let waiting = &self.classes[class];
        let others_waiting = waiting.waiting as usize - own_len;
        let weights = if own_len > 0 {
            waiting.weights.saturating_sub(u64::from(weight))
        } else {
            waiting.weights
        };
        let rounds = (own as u64 + 1).saturating_mul(weights) / u64::from(weight.max(1));
        let others = usize::try_from(rounds).unwrap_or(usize::MAX).min(others_waiting);
        self.above(class) + own + others
    }

    /// Of its own tenant: how many calls are ahead, and how many are queued.
    fn own_ahead(&self, tenant: Tenant, class: usize, arrived: Tick) -> (usize, usize) {
        let Some(&at) = self.index.get(&(tenant, class)) else { return (0, 0) };
        let flow = &self.flows[at as usize];
        let len = flow.list.len() as usize;
        let before = self.lists.arrived_by(flow.list, arrived);
        (if flow.newest_first { len - before } else { before }, len)
    }

    fn above(&self, class: usize) -> usize {
        self.classes[..class].iter().map(|class| class.waiting as usize).sum()
    }

    /// The instant at which the call at `place` is dropped, regardless of its own deadline. While it is
    /// held through an outage: when to check again.
    pub(in crate::queue) fn leaves_at(&self, place: Place, now: Tick) -> Tick {
        let Some(waiter) = self.lists.get(place) else { return Tick::MAX };
        if self.order.newest_first_after == Duration::MAX {
            return Tick::MAX;
        }
        let flow = &self.flows[waiter.flow as usize];
        let mut holds = flow.holds.iter().chain(&self.wide);
        let held = holds.any(|hold| hold.why.is_outage() && hold.covers(waiter.info.scope));
        let since = if held { now } else { waiter.joined.max(self.resumed) };
        since + self.order.longest_wait
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use sandtower_core::Priority;

    use super::super::flow::Flow;
    use super::super::lists;
    use super::super::{Order, Seat, Waiter};
    use super::*;
    use crate::limits::RowId;

    const SEAT: Seat = Seat { row: RowId::NONE, weight: 1 };

    /// What a map or a set takes for an entry, at the least that it is filled.
    const SPARE: usize = 2;

    #[test]
    fn a_call_that_waits_takes_300_bytes_and_a_tenant_500() {
        let call = lists::slot_size::<Waiter>();
        let index = size_of::<((u64, usize), u32)>() + 1;
        let ready = size_of::<(u64, u64, u32)>();
        let length = size_of::<(u64, u32)>();
        let tenant = size_of::<Flow>() + SPARE * (index + ready + length) + size_of::<Place>();
        println!("{call} bytes for a call, {tenant} for a tenant that waits");
        assert!(call <= 300 && tenant <= 500, "{call}, {tenant}");
    }

    fn waiters() -> Waiters {
        let longest_wait = Duration::from_secs(120);
        Waiters::new(Order { newest_first_after: Duration::from_secs(1), longest_wait })
    }

    fn of(tenant: u64, priority: Priority) -> RequestInfo {
        RequestInfo::default().tenant(Tenant::new(tenant)).priority(priority)
    }

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn ahead_are_the_higher_classes_its_own_tenant_and_of_others_as_many_by_weight() {
        use Priority::{Background, Batch, Interactive};
        let mut waiters = waiters();
        let mut join = |tenant, priority, weight, calls| -> Vec<Place> {
            let join = |n| waiters.join(&of(tenant, priority), SEAT, weight, at(n), at(n));
            (0..calls).map(join).collect()
        };
        join(1, Interactive, 1, 2);
        let a = join(1, Batch, 1, 4);
        let b = join(2, Batch, 2, 5);
        join(3, Background, 1, 9);
        let ahead = |place| {
            let Ahead { calls, about } = waiters.ahead(place).unwrap();
            assert!(about);
            calls
        };
        // Two above; of the other tenant, with twice the weight, two each round.
        assert_eq!([0, 1, 2, 3].map(|n| ahead(a[n])), [2 + 2, 2 + 1 + 4, 2 + 2 + 5, 2 + 3 + 5]);
        assert_eq!([0, 1, 3, 4].map(|n| ahead(b[n])), [2, 2 + 1 + 1, 2 + 3 + 2, 2 + 4 + 2]);

        let would_be = |tenant, priority, weight| {
            waiters.would_be_ahead(&of(tenant, priority), weight, at(100))
        };
        assert_eq!(would_be(3, Interactive, 1), 1, "tenants take turns");
        assert_eq!(would_be(1, Interactive, 1), 2);
        assert_eq!(would_be(1, Batch, 1), 2 + 4 + 5);
        assert_eq!(would_be(2, Batch, 2), 2 + 5 + 3);
        assert_eq!(would_be(4, Batch, 3), 2 + 1);
        assert_eq!(would_be(4, Batch, 1), 2 + 3);
        assert_eq!(would_be(4, Background, 1), 11 + 1);
    }

    #[test]
    fn alone_its_position_is_exact_and_reversed_where_the_newest_goes_first() {
        let mut waiters = waiters();
        let info = of(1, Priority::Batch);
        let places = [0, 1, 2].map(|n| waiters.join(&info, SEAT, 1, at(n), at(n)));
        let ahead = |waiters: &Waiters| places.map(|place| waiters.ahead(place).unwrap());
        let exactly = |calls| Ahead { calls, about: false };
        assert_eq!(ahead(&waiters), [0, 1, 2].map(exactly));
        assert_eq!(waiters.would_be_ahead(&info, 1, at(1)), 2, "one that arrived later is behind");
        waiters.next(at(1_000));
        assert!(waiters.is_newest_first());
        assert_eq!(ahead(&waiters), [2, 1, 0].map(exactly));
        assert_eq!(waiters.would_be_ahead(&info, 1, at(1)), 1);
    }
}
