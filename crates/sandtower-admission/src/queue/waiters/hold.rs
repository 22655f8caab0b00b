//! Holds: why queued calls may not go although a slot is free.

use sandtower_core::{Rejection, Scope, Tenant, Tick};

use super::Waiters;
use super::lists::Place;

/// Calls that are held until an instant, or until something changes.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Applies to calls of this scope; `None` for any.
    pub(super) scope: Option<Scope>,
    /// The call that checks again then.
    pub(super) by: Place,
    pub(super) until: Tick,
    pub(super) why: Why,
}

#[derive(Debug)]
pub(crate) enum Why {
    /// A gate holds the calls.
    Gate(Box<Rejection>),
    /// A gate is closed, and the calls wait for it to open.
    Outage(Box<Rejection>),
    /// A limit of admission control holds the calls.
    Limit(Box<Rejection>),
}

impl Why {
    pub(crate) fn rejection(&self) -> &Rejection {
        match self {
            Self::Gate(why) | Self::Outage(why) | Self::Limit(why) => why,
        }
    }

    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Self::Limit(_))
    }

    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Outage(_))
    }
}

impl Hold {
    pub(super) fn covers(&self, scope: Scope) -> bool {
        self.scope.is_none_or(|held| held == scope)
    }
}

impl Waiters {
    /// Holds the call at `place` and similar calls until `until`; those of all tenants if `wide`.
    pub(in crate::queue) fn hold(&mut self, place: Place, until: Tick, why: Why, wide: bool) {
        let Some(waiter) = self.lists.get(place) else { return };
        let (at, scope) = (waiter.flow, waiter.info.scope);
        let scope = (!why.is_limit()).then_some(scope);
        let hold = Hold { scope, by: place, until, why };
        if wide {
            self.wide.retain(|other| other.scope != scope);
            self.wide.push(hold);
            return;
        }
        self.drop_holds_of(at, |other| other.scope == scope);
        self.expiries.insert((until, at));
        self.flows[at as usize].holds.push(hold);
        self.refresh(at);
    }

    /// Drops the holds by gates. Returns whether there were any.
    pub(in crate::queue) fn release_gates(&mut self, now: Tick) -> bool {
        let flows: Vec<u32> = self.expiries.iter().map(|&(_, at)| at).collect();
        let mut outage = false;
        let mut drops = |hold: &Hold| {
            outage |= hold.why.is_outage();
            !hold.why.is_limit()
        };
        let before = self.wide.len();
        self.wide.retain(|hold| !drops(hold));
        let mut dropped = self.wide.len() < before;
        for at in flows {
            dropped |= self.drop_holds_of(at, &mut drops);
        }
        if outage {
            self.resumed = now;
        }
        dropped
    }

    /// Drops the holds by limits, of `tenant` or of all.
    pub(in crate::queue) fn release_limits(&mut self, tenant: Option<Tenant>) {
        match tenant {
            Some(tenant) => {
                for class in 0..self.classes.len() {
                    if let Some(&at) = self.index.get(&(tenant, class)) {
                        self.drop_holds_of(at, |hold| hold.why.is_limit());
                    }
                }
            }
            None => {
                self.wide.retain(|hold| !hold.why.is_limit());
                let flows: Vec<u32> = self.index.values().copied().collect();
                for at in flows {
                    self.drop_holds_of(at, |hold| hold.why.is_limit());
                }
            }
        }
    }

    pub(super) fn drop_holds_by(&mut self, place: Place, at: u32) {
        self.wide.retain(|hold| hold.by != place);
        self.drop_holds_of(at, |hold| hold.by == place);
    }

    pub(super) fn drop_holds_of(&mut self, at: u32, mut which: impl FnMut(&Hold) -> bool) -> bool {
        let flow = &mut self.flows[at as usize];
        let before = flow.holds.len();
        let expiries = &mut self.expiries;
        flow.holds.retain(|hold| {
            let drops = which(hold);
            if drops {
                expiries.remove(&(hold.until, at));
            }
            !drops
        });
        // Two holds of one tenant may end at the same instant.
        expiries.extend(flow.holds.iter().map(|hold| (hold.until, at)));
        let dropped = flow.holds.len() < before;
        if dropped {
            self.refresh(at);
        }
        dropped
    }

    pub(super) fn expire_holds(&mut self, now: Tick) {
        let outage = self.wide.iter().any(|hold| now >= hold.until && hold.why.is_outage());
        if outage {
            self.resumed = now;
        }
        self.wide.retain(|hold| now < hold.until);
        while let Some(&(until, at)) = self.expiries.first()
            && now >= until
        {
            self.expiries.pop_first();
            self.drop_holds_of(at, |hold| now >= hold.until);
        }
    }

    /// Whether calls of this scope are held regardless of tenant.
    pub(super) fn is_held(&self, scope: Scope) -> bool {
        self.wide.iter().any(|hold| hold.covers(scope))
    }

    /// Whether calls are held through an outage until the call at `place`, of this tenant, looks again.
    pub(super) fn is_held_by(&self, place: Place, at: u32) -> bool {
        let mut holds = self.flows[at as usize].holds.iter().chain(&self.wide);
        holds.any(|hold| hold.by == place && hold.why.is_outage())
    }
}
