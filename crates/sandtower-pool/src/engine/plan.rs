use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::SandboxId;

use super::hours::Passed;
use super::{Engine, Order};
use crate::config::MARGIN;
use crate::items::{Item, ItemState};
use crate::target::{Cap, Terms, divide};
use crate::wall::Wall;

/// What the layers below leave to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// Slots of the plan that are free; `None`: not known.
    pub free_slots: Option<u32>,
    /// Whether the circuit breaker of the control plane is closed.
    pub is_closed: bool,
    /// Whether the service is out of slots: warm stock then yields them, one at a time.
    pub is_short: bool,
    /// What an earlier pool of the same account still has: it counts against `max`.
    pub beside: u32,
}

impl Room {
    /// Nothing is known: nothing is in the way.
    pub const fn unknown() -> Self {
        Self { free_slots: None, is_closed: true, is_short: false, beside: 0 }
    }

    /// The free slots of the plan.
    #[must_use]
    pub const fn free_slots(self, slots: Option<u32>) -> Self {
        Self { free_slots: slots, ..self }
    }

    /// Whether the service is out of slots: a call waits for one, or found none lately.
    #[must_use]
    pub const fn short(self, is_short: bool) -> Self {
        Self { is_short, ..self }
    }

    /// What an earlier pool of the same account still has.
    #[must_use]
    pub const fn beside(self, sandboxes: u32) -> Self {
        Self { beside: sandboxes, ..self }
    }

    /// Whether the circuit breaker of the control plane is closed: while it is not, nothing is created.
    #[must_use]
    pub const fn closed(self, is_closed: bool) -> Self {
        Self { is_closed, ..self }
    }
}

/// What to do now.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Work {
    /// To be created.
    pub create: Vec<Order>,
    /// To be killed.
    pub kill: Vec<SandboxId>,
    /// When to ask again, unless something happens before.
    pub again: Tick,
    /// Whether wall time has jumped since the last time.
    pub clock_jumped: bool,
}

/// While there is stock or demand, targets are looked at so often.
const LOOK: Duration = Duration::from_secs(2);
const IDLE_LOOK: Duration = Duration::from_secs(30);

impl Engine {
    /// Decides what to create and to kill. Each planned creation counts as stock from here on; each order
    /// has to be served by [`created`](Self::created) or [`failed`](Self::failed).
    pub fn plan(&mut self, room: Room, wall: Wall, now: Tick) -> Work {
        self.pay(now);
        let mut work = Work { clock_jumped: self.pass_hour(wall, now), ..Work::default() };
        self.beside = room.beside;
        self.forget_unknown(now);
        self.forget_inherited(None, now);
        if room.is_short {
            self.yield_slot(None, now);
        }
        work.kill.append(&mut self.doomed);
        self.retire(&mut work.kill, now);
        if self.is_shut_down {
            work.again = now + IDLE_LOOK;
            return work;
        }
        let targets = self.targets(now);
        let due = self.refill(&targets, room, &mut work.create, now);
        self.note_stock();
        let is_quiet = self.in_stock() == 0 && targets.iter().all(|target| *target == 0);
        work.again = due.min(now + if is_quiet { IDLE_LOOK } else { LOOK });
        work
    }

    fn pass_hour(&mut self, wall: Wall, now: Tick) -> bool {
        let passed = self.hours.pass(wall, now);
        if passed == Passed::Nothing {
            return false;
        }
        for kind in &mut self.kinds {
            let came = std::mem::take(&mut kind.came);
            if let Passed::Ended(hour) = passed {
                kind.profile.ended(hour, came);
            }
        }
        let jumped = passed == Passed::Broken { jumped: true };
        self.counts.clock_jumps += u64::from(jumped);
        jumped
    }

    /// Kills what can no longer be given to a caller, and forgets what has ended by itself.
    fn retire(&mut self, kill: &mut Vec<SandboxId>, now: Tick) {
        let ends = |item: &Item| match item.state {
            ItemState::Ending => item.ends_by + MARGIN <= now,
            _ => false,
        };
        let ended: Vec<_> = self.stock.items().iter().filter(|item| ends(item)).cloned().collect();
        ended.iter().for_each(|item| drop(self.stock.remove(&item.id)));
        let versions: Vec<_> = self.kinds.iter().map(|kind| (kind.number, kind.version)).collect();
        let is_old = |item: &Item| item.until < now + MARGIN;
        let useless = |item: &&Item| match item.state {
            ItemState::Idle => is_old(item) || !versions.contains(&(item.shape, item.version)),
            // Its hand-out is lost.
            ItemState::Leased(lease) => lease.until <= now,
            ItemState::Taken(_) | ItemState::Ending => false,
        };
        let useless = self.stock.items().iter().filter(useless);
        let useless: Vec<_> = useless.map(|item| (item.id.clone(), is_old(item))).collect();
        for (id, is_old) in useless {
            self.counts.expired += u64::from(is_old);
            self.counts.retired += u64::from(!is_old);
            self.stock.end(&id);
            kill.push(id);
        }
    }

    /// What each kind is to have, divided if there is not enough for all.
    fn targets(&mut self, now: Tick) -> Vec<u32> {
        let config = Arc::clone(&self.config);
        let hours = self.hours;
        let warm = hours.wall().map_or(0, |wall| {
            config.schedule.iter().map(|row| row.warm_at(wall)).fold(0, u32::saturating_add)
        });
        let wants = self.kinds.iter_mut().map(|kind| {
            let forecast = || {
                let hour = hours.ahead(kind.looks_ahead()).filter(|_| config.profile)?;
                kind.profile.expected(hour).map(|arrivals| f64::from(arrivals) / 3_600.0)
            };
            let terms = Terms {
                rate: kind.stock_at(kind.rate.at(now), &config),
                peak: kind.peak.at(config.peak_half_life, now).round() as u32,
                profile: forecast().map_or(0, |per_second| kind.stock_at(per_second, &config)),
                schedule: if kind.is_configured { warm } else { 0 },
                min: if kind.is_configured { config.min } else { 0 },
            };
            (kind.target, kind.term) = terms.target();
            kind.target
        });
        let wants: Vec<u32> = wants.collect();
        let most = config.max.min(config.affordable());
        let given = divide(&wants, most);
        let cap = if config.affordable() < config.max { Cap::Budget } else { Cap::Max };
        for ((kind, want), given) in self.kinds.iter_mut().zip(&wants).zip(&given) {
            (kind.target, kind.cap) = (*given, (given < want).then_some(cap));
        }
        given
    }

    /// Orders what is missing, as far as there is room. Returns when more may be ordered.
    fn refill(&mut self, targets: &[u32], room: Room, create: &mut Vec<Order>, now: Tick) -> Tick {
        let most = self.most();
        let mut slots = room.free_slots.map(|free| free.saturating_sub(self.config.spare_slots));
        let mut due = Tick::MAX;
        for (at, target) in targets.iter().enumerate() {
            let (number, lead) = (self.kinds[at].number, self.kinds[at].lead);
            let alive_at = now + MARGIN + lead;
            let useful = |item: &&Item| {
                let may_go = item.state == ItemState::Idle && item.session.is_none();
                may_go && item.shape == number && item.until >= alive_at
            };
            let useful = self.stock.items().iter().filter(useful).count();
            let mut under_way = self.orders.values().filter(|order| order.kind == number).count();
            while useful + under_way < *target as usize {
                let kind = &self.kinds[at];
                // An unproven one is tried alone, so that one that cannot work is tried three times at most.
                let one_at_a_time = !kind.is_proven || kind.backoff.is_failing();
                let cap = if !self.is_recorded() {
                    Some(Cap::Store)
                } else if !room.is_closed {
                    Some(Cap::Breaker)
                } else if kind.backoff.until() > now || (one_at_a_time && under_way > 0) {
                    due = due.min(kind.backoff.until().max(now + LOOK));
                    kind.backoff.is_failing().then_some(Cap::Backoff)
                } else if self.in_stock() >= most {
                    kind.cap.or(Some(Cap::Max))
                } else if slots == Some(0) {
                    Some(Cap::Slots)
                } else if self.pace.due(now) > now {
                    due = due.min(self.pace.due(now));
                    Some(Cap::Pace)
                } else {
                    create.push(self.order(at, now));
                    slots = slots.map(|slots| slots - 1);
                    under_way += 1;
                    continue;
                };
                self.kinds[at].cap = cap;
                break;
            }
        }
        due
    }

    fn order(&mut self, at: usize, now: Tick) -> Order {
        self.pace.sent(now);
        let kind = &self.kinds[at];
        let (number, kind, shape) = (self.next_order, kind.number, kind.shape.clone());
        self.next_order += 1;
        let order = Order { number, shape, kind, sent: now, call: None, appears_until: Tick::MAX };
        self.orders.insert(number, order.clone());
        order
    }
}
