//! Which tenant has which rate limit, in bounded memory: pure data.

use std::collections::HashMap;
use std::time::Duration;

use sandtower_core::{Tenant, Tick};

use crate::RateLimit;

/// Rows that a search for an idle one looks at: a full table must not make a newcomer slow.
const LOOKED_AT: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Table {
    most: usize,
    rows: Vec<Row>,
    index: HashMap<Tenant, usize>,
    /// Of tenants that have no row; created when first needed.
    others: Option<RateLimit>,
    /// Whether there was no row for the last newcomer.
    overflowing: bool,
    /// The row that the search looks at next.
    hand: usize,
    forgotten: u64,
}

#[derive(Debug)]
struct Row {
    tenant: Tenant,
    limit: RateLimit,
    used: Tick,
}

impl Table {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What a tenant without a row of its own shares.
    pub(crate) fn others(&self) -> Option<&RateLimit> {
        self.others.as_ref()
    }

    pub(crate) fn get(&self, tenant: Tenant) -> Option<&RateLimit> {
        self.index.get(&tenant).map(|&slot| &self.rows[slot].limit)
    }

    pub(crate) fn used(&mut self, tenant: Tenant, now: Tick) -> Option<RateLimit> {
        let row = &mut self.rows[*self.index.get(&tenant)?];
        row.used = row.used.max(now);
        Some(row.limit.clone())
    }

    /// Whether one more tenant can have a row, if need be after forgetting one that is idle.
    pub(crate) fn make_room(&mut self, now: Tick) -> bool {
        let rows = self.rows.len();
        if rows < self.most {
            return true;
        }
        let looked_at = (0..LOOKED_AT.min(rows)).map(|step| (self.hand + step) % rows);
        let idle = looked_at.filter(|&slot| !self.rows[slot].limit.is_in_use(now));
        let longest_silent = idle.min_by_key(|&slot| self.rows[slot].used);
        self.hand = (self.hand + LOOKED_AT) % rows;
        if let Some(slot) = longest_silent {
            self.forget(slot);
        }
        longest_silent.is_some()
    }

    /// Gives the tenant a row, if there is room. Another thread may have done so meanwhile, or have
    /// filled the table.
    pub(crate) fn insert(
        &mut self,
        tenant: Tenant,
        limit: RateLimit,
        now: Tick,
    ) -> Option<RateLimit> {
        if let Some(limit) = self.used(tenant, now) {
            return Some(limit);
        }
        if self.rows.len() >= self.most {
            return None;
        }
        self.overflowing = false;
        self.index.insert(tenant, self.rows.len());
        self.rows.push(Row { tenant, limit: limit.clone(), used: now });
        Some(limit)
    }

    /// What tenants without a row share; `new` creates it.
    pub(crate) fn share(&mut self, new: impl FnOnce() -> RateLimit) -> RateLimit {
        self.others.get_or_insert_with(new).clone()
    }

    /// There was no row for a newcomer: whether there was one for the newcomer before.
    pub(crate) fn overflow(&mut self) -> bool {
        !std::mem::replace(&mut self.overflowing, true)
    }

    /// Forgets all that are not in use and had no call for `silence`.
    pub(crate) fn forget_silent(&mut self, now: Tick, silence: Duration) {
        for slot in (0..self.rows.len()).rev() {
            let Row { used, limit, .. } = &self.rows[slot];
            if now.since(*used) >= silence && !limit.is_in_use(now) {
                self.forget(slot);
            }
        }
        self.others.take_if(|limit| !limit.is_in_use(now));
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Tenant, &RateLimit)> {
        let own = self.rows.iter().map(|row| (row.tenant, &row.limit));
        own.chain(self.others.iter().map(|limit| (Tenant::OTHERS, limit)))
    }

    fn forget(&mut self, slot: usize) {
        let row = self.rows.swap_remove(slot);
        self.index.remove(&row.tenant);
        if let Some(moved) = self.rows.get(slot) {
            self.index.insert(moved.tenant, slot);
        }
        self.forgotten += 1;
    }
}

#[cfg(test)]
mod tests {
    use sandtower_core::{Deferred, Gate, Now, RequestInfo};

    use super::*;
    use crate::Config;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_row_is_found_wherever_it_is_in_a_few_searches() {
        let (info, mut later) = (RequestInfo::default(), Deferred::new());
        for idle in [0, 63, 64, 130, 199] {
            let mut table = Table::new(200);
            for tenant in 0..200 {
                let limit = RateLimit::new(Config::new("any").limit_each(9)).unwrap();
                if tenant != idle {
                    let _sent = limit.try_acquire(&info, &Now::at(at(1)), &mut later).unwrap();
                }
                table.insert(Tenant::new(tenant), limit, at(1)).unwrap();
            }
            let searches = (1..=10).find(|_| table.make_room(at(2)));
            assert!(searches.is_some_and(|searches| searches <= 4), "{idle}: {searches:?}");
            assert!(table.get(Tenant::new(idle)).is_none() && table.len() == 199);
            assert!((0..200).filter(|&it| it != idle).all(|it| {
                table.get(Tenant::new(it)).is_some_and(|limit| limit.is_in_use(at(2)))
            }));
        }
    }
}
