//! Limits that operations share: in flight in total and per tenant, rates. Pure: the time is an
//! argument.

mod rows;
#[cfg(test)]
mod tests;

use sandtower_core::{
    Deferred, Operation, Reason, RequestInfo, Tenant, TenantProfile, Tenants, Tick,
};

pub(crate) use self::rows::RowId;

use self::rows::Rows;
use crate::config::Config;
use crate::queue::{Seat, Turns};
use crate::rate::{Bucket, Rate, Terms};

/// The limits that operations share: one decision for all of them, all or none.
#[derive(Debug)]
pub(crate) struct Limits {
    total: Option<u32>,
    per_tenant: Option<u32>,
    rates: Vec<SharedRate>,
    tenants: Option<Tenants>,
    rows: Rows,
    in_flight: u32,
    /// Order among classes across operations, used when the total limit is reached.
    pub(crate) turns: Turns,
}

#[derive(Debug)]
struct SharedRate {
    rate: Rate,
    terms: Terms,
    /// Shared by all callers.
    bucket: Bucket,
    /// Per tenant: the index of its bucket.
    of_tenant: Option<usize>,
}

/// The limits that apply to an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) weight: u32,
    rates: Box<[usize]>,
}

impl Demand {
    pub(crate) fn has_rates(&self) -> bool {
        !self.rates.is_empty()
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Total,
    Tenant,
    /// A rate, which admits the call at this instant.
    Rate(usize, Tick),
}

impl Reached {
    /// When the limit allows a call again; `None`: when a call in flight ends.
    pub(crate) fn until(self) -> Option<Tick> {
        match self {
            Self::Rate(_, until) => Some(until),
            Self::Total | Self::Tenant => None,
        }
    }
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let mut tenants = 0;
        let shared = |rate: &Rate| {
            let of_tenant = rate.per_tenant.then_some(tenants);
            tenants += usize::from(rate.per_tenant);
            let (terms, bucket) = (rate.terms(), Bucket::default());
            SharedRate { rate: rate.clone(), terms, bucket, of_tenant }
        };
        let rates: Vec<_> = config.rates.iter().map(shared).collect();
        let limit = config.tenants.as_ref().map_or(rows::LIMIT, Tenants::limit);
        Self {
            total: config.concurrency_total,
            per_tenant: config.concurrency_per_tenant,
            rates,
            tenants: config.tenants.clone(),
            rows: Rows::new(limit, tenants),
            in_flight: 0,
            turns: Turns::default(),
        }
    }

    /// The limits that apply to `operation`.
    pub(crate) fn demand(&self, operation: Operation, weight: u32) -> Demand {
        let rates = self.rates.iter().enumerate();
        let rates = rates.filter(|(_, shared)| shared.rate.is_about(operation.name()));
        Demand { weight, rates: rates.map(|(rate, _)| rate).collect() }
    }

    pub(crate) fn has_total(&self) -> bool {
        self.total.is_some()
    }

    pub(crate) fn set_total(&mut self, limit: Option<u32>) {
        self.total = limit;
    }

    pub(crate) fn set_per_tenant(&mut self, limit: Option<u32>) {
        self.per_tenant = limit;
    }

    /// Changes a rate; usage so far still counts. Returns whether the rate exists.
    pub(crate) fn set_rate(&mut self, changed: &Rate, now: Tick) -> bool {
        let Some(shared) = self.rates.iter_mut().find(|it| it.rate.name == changed.name) else {
            return false;
        };
        let (from, to) = (std::mem::replace(&mut shared.terms, changed.terms()), changed.terms());
        match shared.of_tenant {
            Some(at) => self.rows.buckets_mut(at).for_each(|bucket| bucket.change(from, to, now)),
            None => shared.bucket.change(from, to, now),
        }
        true
    }

    /// Whether the tenant of this seat is distinguished.
    #[inline]
    pub(crate) fn distinguishes(&self, seat: Seat) -> bool {
        seat.row != RowId::NONE
    }

    /// Whether any limit counts per tenant.
    #[inline]
    fn needs_rows(&self) -> bool {
        self.per_tenant.is_some() || self.total.is_some() || self.rows.has_buckets()
    }

    /// Registers a call of `info`, queued or to be admitted, until it [leaves](Self::leave).
    #[inline]
    pub(crate) fn enter(
        &mut self,
        info: &RequestInfo,
        weight: u32,
        now: Tick,
        later: &mut Deferred,
    ) -> Seat {
        let weight = info.weight.map_or(weight, std::num::NonZeroU32::get);
        if !self.needs_rows() && (info.tenant == Tenant::ALL || self.tenants.is_none()) {
            return Seat { row: RowId::NONE, weight };
        }
        let (row, came) = self.rows.enter(info.tenant, now, later);
        if let (Some(tenant), Some(tenants)) = (came, &self.tenants) {
            tenants.hold(tenant);
        }
        Seat { row, weight }
    }

    /// Removes a call. Its tenant may be evicted once it has no calls left.
    #[inline]
    pub(crate) fn leave(&mut self, seat: Seat, now: Tick) {
        if let Some(tenant) = self.rows.leave(seat.row, now)
            && let Some(tenants) = &self.tenants
        {
            tenants.release(tenant);
        }
    }

    /// The limit that keeps a call from being admitted, if any.
    #[inline]
    pub(crate) fn check(&self, seat: Seat, demand: &Demand, now: Tick) -> Option<Reached> {
        if !self.fits(seat) {
            return Some(Reached::Total);
        }
        if let Some(limit) = self.per_tenant
            && !has_room(self.rows.in_flight(seat.row), limit, seat.weight)
        {
            return Some(Reached::Tenant);
        }
        // The rate that allows the call last: checking again before then is pointless.
        let waits = demand.rates.iter().map(|&at| {
            let shared = &self.rates[at];
            let bucket = match shared.of_tenant {
                Some(of_tenant) => self.rows.bucket(seat.row, of_tenant),
                None => shared.bucket,
            };
            (bucket.earliest(shared.terms, seat.weight, now), at)
        });
        let (earliest, at) = waits.max()?;
        (earliest > now).then_some(Reached::Rate(at, earliest))
    }

    /// Whether a call fits into the total limit.
    #[inline]
    pub(crate) fn fits(&self, seat: Seat) -> bool {
        self.total.is_none_or(|total| has_room(self.in_flight, total, seat.weight))
    }

    /// Counts a call that [`check`](Self::check) allowed.
    #[inline]
    pub(crate) fn take(&mut self, seat: Seat, demand: &Demand, now: Tick) {
        self.in_flight = self.in_flight.saturating_add(seat.weight);
        self.rows.take(seat);
        for &at in &demand.rates {
            let shared = &mut self.rates[at];
            let bucket = match shared.of_tenant {
                Some(of_tenant) => self.rows.bucket_mut(seat.row, of_tenant),
                None => Some(&mut shared.bucket),
            };
            if let Some(bucket) = bucket {
                bucket.take(shared.terms, seat.weight, now);
            }
        }
    }

    /// Records the end of an attempt. One that was not `sent` does not count towards rates.
    #[inline]
    pub(crate) fn give_back(&mut self, seat: Seat, demand: &Demand, sent: bool) {
        self.in_flight = self.in_flight.saturating_sub(seat.weight);
        self.rows.give_back(seat);
        if sent {
            return;
        }
        for &at in &demand.rates {
            let shared = &mut self.rates[at];
            let bucket = match shared.of_tenant {
                Some(of_tenant) => self.rows.bucket_mut(seat.row, of_tenant),
                None => Some(&mut shared.bucket),
            };
            if let Some(bucket) = bucket {
                bucket.give_back(shared.terms, seat.weight);
            }
        }
    }

    /// Marks the tenant's calls in the queue of this operation as held by the tenant's limit.
    pub(crate) fn park(&mut self, seat: Seat, operation: Operation) {
        self.rows.park(seat.row, operation);
    }

    /// The operations in whose queues a tenant's calls were held and may go now, and the tenant (`None`:
    /// several).
    pub(crate) fn unpark(&mut self, seat: Seat) -> Option<(Option<Tenant>, Vec<Operation>)> {
        self.rows.unpark(seat.row)
    }

    /// Whether the limit is a rate shared by all callers.
    pub(crate) fn is_wide(&self, reached: Reached) -> bool {
        match reached {
            Reached::Total => true,
            Reached::Tenant => false,
            Reached::Rate(at, _) => self.rates[at].of_tenant.is_none(),
        }
    }

    /// How far ahead the tenant is of others, when the total limit is reached.
    pub(crate) fn virtual_time(&self, seat: Seat) -> u64 {
        self.rows.virtual_time(seat.row)
    }

    /// Records that a call of a tenant was admitted from a queue while the total limit was reached.
    pub(crate) fn served(&mut self, seat: Seat, weight_of_tenant: u32) {
        self.rows.served(seat, weight_of_tenant);
    }

    pub(crate) fn weight_of(&self, tenant: Tenant) -> u32 {
        match &self.tenants {
            Some(tenants) if tenant != Tenant::ALL => tenants.profile(tenant).weight.get(),
            _ => 1,
        }
    }

    /// The reason, the name of the limit, and its tenant.
    pub(crate) fn reason(
        &self,
        reached: Reached,
        seat: Seat,
        tenant: Tenant,
        now: Tick,
    ) -> (Reason, &str, Option<TenantProfile>) {
        let (whole, of_tenant) = (self.total.unwrap_or(0), self.per_tenant.unwrap_or(0));
        match reached {
            Reached::Total => (Reason::Full { limit: whole }, "in total", None),
            Reached::Tenant => {
                (Reason::Full { limit: of_tenant }, "per tenant", Some(self.profile(tenant)))
            }
            Reached::Rate(at, _) => {
                let shared = &self.rates[at];
                let (bucket, whose) = match shared.of_tenant {
                    Some(at) => (self.rows.bucket(seat.row, at), Some(self.profile(tenant))),
                    None => (shared.bucket, None),
                };
                let count = u64::from(bucket.used(shared.terms, now));
                let limit = u64::from(shared.terms.burst);
                (Reason::OverLimit { count, limit }, &shared.rate.name, whose)
            }
        }
    }

    pub(crate) fn profile(&self, tenant: Tenant) -> TenantProfile {
        let known = self.tenants.as_ref().map(|tenants| tenants.profile(tenant));
        known.unwrap_or_else(|| TenantProfile::new(tenant.to_string()))
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether the total limit is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.total.is_some_and(|total| self.in_flight >= total)
    }

    pub(crate) fn total(&self) -> Option<u32> {
        self.total
    }

    /// The number of tenants that have rows, and how often a tenant got none.
    pub(crate) fn tenants_seen(&self) -> (u32, u64) {
        (self.rows.len(), self.rows.overflowed())
    }
}

/// Whether a call of this weight fits. A call heavier than the limit is admitted alone.
fn has_room(in_flight: u32, limit: u32, weight: u32) -> bool {
    in_flight == 0 || in_flight.saturating_add(weight) <= limit
}
