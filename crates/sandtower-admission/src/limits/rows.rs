//! A bounded table with a row for each tenant that has calls or rate usage.

use std::collections::HashMap;

use sandtower_core::{Deferred, Operation, Tenant, Tick};

use crate::queue::{Seat, UNIT};
use crate::rate::Bucket;

/// The number of rows unless a table of tenants sets another.
pub(super) const LIMIT: u32 = 10_000;

/// Rows checked per eviction: a full table must not slow down new calls.
const LOOKED_AT: usize = 64;

/// The row of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowId(u32);

impl RowId {
    /// Tenants are not distinguished.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
pub(super) struct Rows {
    limit: usize,
    /// Of each tenant.
    buckets: usize,
    rows: Vec<Row>,
    index: HashMap<Tenant, u32>,
    unused: Vec<u32>,
    /// The row that the next eviction checks first.
    hand: usize,
    overflowed: u64,
    overflowing: bool,
    /// The virtual time of the tenant that was served last.
    served: u64,
}

#[derive(Debug)]
struct Row {
    tenant: Tenant,
    /// Calls queued or in flight. The row stays while there are any.
    calls: u32,
    /// Total weight of the calls in flight.
    in_flight: u32,
    virtual_time: u64,
    buckets: Box<[Bucket]>,
    /// The operations in whose queues its calls are held by its limit.
    parked: Vec<Operation>,
}

impl Rows {
    pub(super) fn new(limit: u32, buckets: usize) -> Self {
        Self {
            limit: limit as usize,
            buckets,
            rows: Vec::new(),
            index: HashMap::new(),
            unused: Vec::new(),
            hand: 0,
            overflowed: 0,
            overflowing: false,
            served: 0,
        }
    }

    pub(super) fn has_buckets(&self) -> bool {
        self.buckets > 0
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The row for one more call of `tenant`; and the tenant, if the call is the first in the row.
    pub(super) fn enter(
        &mut self,
        tenant: Tenant,
        now: Tick,
        later: &mut Deferred,
    ) -> (RowId, Option<Tenant>) {
        let at = match self.index.get(&tenant).copied() {
            Some(at) => at,
            // The row shared by other tenants does not count towards the limit.
            None if self.index.len() < self.limit || tenant == Tenant::OTHERS => self.add(tenant),
            None if self.forget_one(now) => self.add(tenant),
            None => {
                self.overflowed += 1;
                if !std::mem::replace(&mut self.overflowing, true) {
                    let limit = self.limit;
                    later.run(move || {
                        tracing::warn!(limit, "too many tenants, new ones share their limits");
                    });
                }
                match self.index.get(&Tenant::OTHERS) {
                    Some(&at) => at,
                    None => self.add(Tenant::OTHERS),
                }
            }
        };
        let row = &mut self.rows[at as usize];
        row.calls += 1;
        (RowId(at), (row.calls == 1).then_some(row.tenant))
    }

    fn add(&mut self, tenant: Tenant) -> u32 {
        self.overflowing &= tenant == Tenant::OTHERS;
        let buckets = vec![Bucket::default(); self.buckets].into();
        // As if a call of it was just served, so that leaving and returning gains nothing.
        let virtual_time = self.served.saturating_add(UNIT);
        let row = Row { tenant, calls: 0, in_flight: 0, virtual_time, buckets, parked: Vec::new() };
        let at = match self.unused.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                at
            }
            None => {
                self.rows.push(row);
                u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(tenant, at);
        at
    }

    /// The tenant, if it has no calls left.
    pub(super) fn leave(&mut self, row: RowId, now: Tick) -> Option<Tenant> {
        let at = row.0 as usize;
        let row = self.rows.get_mut(at)?;
        row.calls = row.calls.saturating_sub(1);
        if row.calls > 0 {
            return None;
        }
        let tenant = row.tenant;
        if self.is_forgettable(at, now) {
            self.forget(at);
        }
        Some(tenant)
    }

    fn is_forgettable(&self, at: usize, now: Tick) -> bool {
        let row = &self.rows[at];
        row.calls == 0 && row.buckets.iter().all(|bucket| bucket.is_full(now))
    }

    fn forget(&mut self, at: usize) {
        let row = &mut self.rows[at];
        if self.index.remove(&row.tenant).is_some() {
            (row.buckets, row.parked) = (Box::default(), Vec::new());
            self.unused.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }

    fn forget_one(&mut self, now: Tick) -> bool {
        for _ in 0..LOOKED_AT.min(self.rows.len()) {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.rows.len();
            let is_used = self.index.get(&self.rows[at].tenant) == u32::try_from(at).ok().as_ref();
            if is_used && self.is_forgettable(at, now) {
                self.forget(at);
                return true;
            }
        }
        false
    }

    pub(super) fn in_flight(&self, row: RowId) -> u32 {
        self.rows.get(row.0 as usize).map_or(0, |row| row.in_flight)
    }

    pub(super) fn bucket(&self, row: RowId, at: usize) -> Bucket {
        let row = self.rows.get(row.0 as usize);
        row.and_then(|row| row.buckets.get(at).copied()).unwrap_or_default()
    }

    pub(super) fn bucket_mut(&mut self, row: RowId, at: usize) -> Option<&mut Bucket> {
        self.rows.get_mut(row.0 as usize)?.buckets.get_mut(at)
    }

    /// One of the buckets of every tenant.
    pub(super) fn buckets_mut(&mut self, at: usize) -> impl Iterator<Item = &mut Bucket> {
        self.rows.iter_mut().filter_map(move |row| row.buckets.get_mut(at))
    }

    pub(super) fn take(&mut self, seat: Seat) {
        if let Some(row) = self.rows.get_mut(seat.row.0 as usize) {
            row.in_flight = row.in_flight.saturating_add(seat.weight);
        }
    }

    pub(super) fn give_back(&mut self, seat: Seat) {
        if let Some(row) = self.rows.get_mut(seat.row.0 as usize) {
            row.in_flight = row.in_flight.saturating_sub(seat.weight);
        }
    }

    pub(super) fn park(&mut self, row: RowId, operation: Operation) {
        if let Some(row) = self.rows.get_mut(row.0 as usize)
            && !row.parked.contains(&operation)
        {
            row.parked.push(operation);
        }
    }

    /// `None` for the tenant: several.
    pub(super) fn unpark(&mut self, row: RowId) -> Option<(Option<Tenant>, Vec<Operation>)> {
        let row = self.rows.get_mut(row.0 as usize)?;
        let tenant = (row.tenant != Tenant::OTHERS).then_some(row.tenant);
        (!row.parked.is_empty()).then(|| (tenant, std::mem::take(&mut row.parked)))
    }

    pub(super) fn virtual_time(&self, row: RowId) -> u64 {
        self.rows.get(row.0 as usize).map_or(self.served, |row| row.virtual_time.max(self.served))
    }

    /// A call was admitted.
    pub(super) fn served(&mut self, seat: Seat, weight_of_tenant: u32) {
        let Some(row) = self.rows.get_mut(seat.row.0 as usize) else { return };
        self.served = row.virtual_time.max(self.served);
        let work = u64::from(seat.weight).saturating_mul(UNIT) / u64::from(weight_of_tenant.max(1));
        row.virtual_time = self.served.saturating_add(work);
    }
}
