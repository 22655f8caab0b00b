//! The rows of tenants, and which of them makes room: pure data.

use std::collections::HashMap;
use std::sync::Arc;

use super::{TenantProfile, TenantsFull, TenantsSnapshot};
use crate::Tenant;

pub(super) struct Table {
    limit: u32,
    rows: Vec<Row>,
    index: HashMap<Tenant, usize>,
    others: TenantProfile,
    /// The row that the search for an idle one looks at next.
    hand: usize,
    overflowing: bool,
    counters: TenantsSnapshot,
}

struct Row {
    tenant: Tenant,
    profile: TenantProfile,
    /// It was set, and stays.
    set: bool,
    busy: u32,
    /// It was seen since the hand passed.
    seen: bool,
}

pub(super) enum Seen {
    Here,
    /// It is one of the others; `first`: there was room for the tenant before.
    Overflowed {
        first: bool,
    },
}

/// Rows that a search for an idle one looks at: a full table must not make a newcomer slow.
const LOOKED_AT: usize = 64;

/// A name for operators is cut to this length, in bytes: it may come from a request.
const LONGEST_NAME: usize = 64;

impl Table {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            rows: Vec::new(),
            index: HashMap::new(),
            others: TenantProfile::new("others"),
            hand: 0,
            overflowing: false,
            counters: TenantsSnapshot { limit, ..TenantsSnapshot::default() },
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn set(
        &mut self,
        tenant: Tenant,
        profile: TenantProfile,
    ) -> Result<(), TenantsFull> {
        let slot =
            self.slot_of(tenant, || profile.clone()).ok_or(TenantsFull { limit: self.limit })?;
        let row = &mut self.rows[slot];
        (row.profile, row.set) = (profile, true);
        Ok(())
    }

    pub(super) fn unset(&mut self, tenant: Tenant) {
        if let Some(row) = self.row(tenant) {
            row.set = false;
            row.profile = TenantProfile::new(Arc::clone(&row.profile.name));
        }
    }

    pub(super) fn see(&mut self, tenant: Tenant, name: &str) -> Seen {
        match self.slot_of(tenant, || TenantProfile::new(cut(name))) {
            Some(slot) => {
                self.rows[slot].seen = true;
                self.overflowing &= self.rows.len() >= self.limit as usize;
                Seen::Here
            }
            None => {
                self.counters.overflowed += 1;
                Seen::Overflowed { first: !std::mem::replace(&mut self.overflowing, true) }
            }
        }
    }

    pub(super) fn profile(&self, tenant: Tenant) -> Option<&TenantProfile> {
        match self.index.get(&tenant) {
            Some(&slot) => Some(&self.rows[slot].profile),
            None => (tenant == Tenant::OTHERS).then_some(&self.others),
        }
    }

    pub(super) fn hold(&mut self, tenant: Tenant) {
        if let Some(row) = self.row(tenant) {
            row.busy = row.busy.saturating_add(1);
        }
    }

    pub(super) fn release(&mut self, tenant: Tenant) {
        if let Some(row) = self.row(tenant) {
            row.busy = row.busy.saturating_sub(1);
        }
    }

    pub(super) fn snapshot(&self) -> TenantsSnapshot {
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        let set = count(self.rows.iter().filter(|row| row.set).count());
        TenantsSnapshot { rows: count(self.rows.len()), set, ..self.counters }
    }

    fn row(&mut self, tenant: Tenant) -> Option<&mut Row> {
        self.index.get(&tenant).map(|&slot| &mut self.rows[slot])
    }

    /// The row of `tenant`; a new one, in place of an idle one if the table is full.
    fn slot_of(&mut self, tenant: Tenant, new: impl FnOnce() -> TenantProfile) -> Option<usize> {
        if let Some(&slot) = self.index.get(&tenant) {
            return Some(slot);
        }
        let has_room = self.rows.len() < self.limit as usize;
        let slot = if has_room { self.rows.len() } else { self.idle()? };
        let row = Row { tenant, profile: new(), set: false, busy: 0, seen: true };
        match self.rows.get_mut(slot) {
            Some(old) => {
                self.index.remove(&old.tenant);
                self.counters.evicted += 1;
                *old = row;
            }
            None => self.rows.push(row),
        }
        self.index.insert(tenant, slot);
        Some(slot)
    }

    /// A row that may go: one that was not seen for a while, if there is one among those looked at.
    fn idle(&mut self) -> Option<usize> {
        let mut second_best = None;
        for _ in 0..LOOKED_AT.min(self.rows.len()) {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.rows.len();
            let row = &mut self.rows[slot];
            if row.set || row.busy > 0 {
                continue;
            }
            if !std::mem::replace(&mut row.seen, false) {
                return Some(slot);
            }
            second_best.get_or_insert(slot);
        }
        second_best
    }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}
