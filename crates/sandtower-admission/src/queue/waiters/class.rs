//! One class of a queue: which tenant is next, and which has the most queued work.

use std::collections::BTreeSet;

use sandtower_core::{Priority, Tick};

/// One unit of work of a tenant with weight 1, in virtual time.
pub(crate) const UNIT: u64 = 1 << 20;

/// The tenants of one class that have calls waiting.
///
/// Fair queueing by virtual time (Goyal, Vin, Cheng: "Start-time fair queueing", 1996): each admitted
/// call advances the clock of its tenant by the weight of the call divided by that of the tenant. The
/// tenant whose clock is furthest behind is next.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Tenants whose next call may go, by clock. The second number breaks ties in order of arrival.
    ready: BTreeSet<(u64, u64, u32)>,
    /// All tenants, by queued work divided by weight.
    by_length: BTreeSet<(u64, u32)>,
    /// The clock of the tenant that was served last.
    now: u64,
    count: u64,
    pub(super) waiting: u32,
    /// Total weight of its tenants.
    pub(super) weights: u64,
    /// Since when it has had queued calls.
    pub(super) since: Option<Tick>,
}

/// The place of a tenant among those that are ready.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    time: u64,
    order: u64,
}

impl Class {
    /// The clock of a tenant that had no queued calls: as if a call of it was just served, so that leaving
    /// and joining again gains nothing.
    pub(super) fn clock(&mut self, weight: u32) -> Clock {
        self.at(self.now.saturating_add(UNIT / u64::from(weight)))
    }

    /// The clock of a tenant after a hold: it does not catch up on what others got meanwhile.
    pub(super) fn caught_up(&mut self, clock: Clock) -> Clock {
        self.at(clock.time.max(self.now))
    }

    /// Advances the clock for an admitted call of this much work.
    pub(super) fn served(&mut self, clock: Clock, work: u32, weight: u32) -> Clock {
        self.now = self.now.max(clock.time);
        let work = u64::from(work).saturating_mul(UNIT) / u64::from(weight);
        self.at(clock.time.saturating_add(work))
    }

    fn at(&mut self, time: u64) -> Clock {
        self.count += 1;
        Clock { time, order: self.count }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The tenants whose next call may go, in order.
    pub(super) fn ready(&self) -> impl Iterator<Item = u32> {
        self.ready.iter().map(|&(.., flow)| flow)
    }

    pub(super) fn set_ready(&mut self, flow: u32, clock: Clock) {
        self.ready.insert((clock.time, clock.order, flow));
    }

    pub(super) fn unset_ready(&mut self, flow: u32, clock: Clock) {
        self.ready.remove(&(clock.time, clock.order, flow));
    }

    /// Changes the number of queued calls of a tenant from `before` to `after`.
    pub(super) fn resize(&mut self, flow: u32, weight: u32, before: u32, after: u32) {
        if before > 0 {
            self.by_length.remove(&(length(before, weight), flow));
        }
        if after > 0 {
            self.by_length.insert((length(after, weight), flow));
        }
    }

    /// The tenant with the most queued work relative to its weight, and how much.
    pub(super) fn longest(&self) -> Option<(u64, u32)> {
        self.by_length.last().copied()
    }
}

/// The queued work of this many calls for a tenant of this weight.
pub(super) fn length(calls: u32, weight: u32) -> u64 {
    u64::from(calls).saturating_mul(UNIT) / u64::from(weight)
}

/// Chooses the next class: the highest, but a lower class that waits gets a twentieth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    /// By class: work of higher classes that was admitted while this class was ready.
    passed: [u64; Priority::ALL.len()],
}

/// Work of higher classes after which a waiting class is due. With both lower classes waiting, each gets
/// one in 18 + 2.
const PASSES: u64 = 18;

impl Turns {
    /// The next class of those that are `ready`.
    pub(crate) fn next(&self, ready: [bool; Priority::ALL.len()]) -> Option<usize> {
        let highest = ready.iter().position(|&is_ready| is_ready)?;
        let due = (highest + 1..ready.len())
            .filter(|&class| ready[class] && self.passed[class] >= PASSES)
            .max_by_key(|&class| (self.passed[class], std::cmp::Reverse(class)));
        Some(due.unwrap_or(highest))
    }

    /// Records that a call of `class` and this much work was admitted while the `ready` classes waited.
    pub(crate) fn served(&mut self, class: usize, work: u32, ready: [bool; Priority::ALL.len()]) {
        let work = u64::from(work);
        self.passed[class] = self.passed[class].saturating_sub(PASSES * work);
        for (lower, &is_ready) in ready.iter().enumerate().skip(class + 1) {
            // A class without ready calls accrues nothing, and no class accrues more than one call.
            let passed = (self.passed[lower] + work).min(PASSES + work);
            self.passed[lower] = if is_ready { passed } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_waits_gets_a_twentieth_and_the_highest_gets_the_rest() {
        for (ready, shares) in [
            ([true, true, true], [900, 50, 50]),
            ([true, false, true], [947, 0, 53]),
            ([false, true, true], [0, 947, 53]),
            ([false, false, true], [0, 0, 1_000]),
        ] {
            let (mut turns, mut served) = (Turns::default(), [0; 3]);
            for _ in 0..1_000 {
                let class = turns.next(ready).unwrap();
                served[class] += 1;
                turns.served(class, 1, ready);
            }
            let near =
                served.iter().zip(shares).all(|(&got, due): (&i32, i32)| (got - due).abs() <= 2);
            assert!(near, "{ready:?}: {served:?}");
        }
        assert_eq!(Turns::default().next([false; 3]), None);
    }

    #[test]
    fn a_tenant_that_leaves_and_joins_again_gets_no_more_than_its_share() {
        let mut class = Class::default();
        let mut clocks = [1, 1, 1].map(|weight| class.clock(weight));
        (0..3).for_each(|flow| class.set_ready(flow, clocks[flow as usize]));
        let mut served = [0; 3];
        for _ in 0..3_000 {
            let flow = class.ready().next().unwrap();
            let at = flow as usize;
            class.unset_ready(flow, clocks[at]);
            let after = class.served(clocks[at], 1, 1);
            // The first tenant never has more than one queued call.
            clocks[at] = if flow == 0 { class.clock(1) } else { after };
            class.set_ready(flow, clocks[at]);
            served[at] += 1;
        }
        assert!(served.iter().all(|served| (995..=1_005).contains(served)), "{served:?}");
    }

    #[test]
    fn work_and_weights_count() {
        let mut class = Class::default();
        let tenants = [(1, 1), (3, 1), (1, 5)];
        let mut clocks = tenants.map(|(weight, _)| class.clock(weight));
        (0..3).for_each(|flow| class.set_ready(flow, clocks[flow as usize]));
        let mut work_done = [0; 3];
        for _ in 0..5_000 {
            let flow = class.ready().next().unwrap();
            let at = flow as usize;
            let (weight, work) = tenants[at];
            class.unset_ready(flow, clocks[at]);
            clocks[at] = class.served(clocks[at], work, weight);
            class.set_ready(flow, clocks[at]);
            work_done[at] += work;
        }
        let [one, three, heavy] = work_done.map(f64::from);
        assert!(
            (three / one - 3.0).abs() < 0.1 && (heavy / one - 1.0).abs() < 0.1,
            "{work_done:?}"
        );
    }
}
