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
    /// Between the classes of different operations, where the total is short.
    pub(crate) turns: Turns,
}

#[derive(Debug)]
struct SharedRate {
    rate: Rate,
    terms: Terms,
    /// Of all callers.
    bucket: Bucket,
    /// Of each tenant: its index there.
    of_tenant: Option<usize>,
}

/// What of the limits is about an operation.
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
    /// Of a rate, which has room then.
    Rate(usize, Tick),
}

impl Reached {
    /// When there is room again; `None`: when a call in flight ends.
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

    /// What is about `operation`.
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

    /// Changes what a rate allows; what was used stays used. Whether there is one of that name.
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

    /// Whether there is something to count for each tenant.
    #[inline]
    fn needs_rows(&self) -> bool {
        self.per_tenant.is_some() || self.total.is_some() || self.rows.has_buckets()
    }

    /// A call of `info` is here, to wait or to be admitted; it [leaves](Self::leave) later.
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

    /// A call is gone. Its tenant may be forgotten once nothing of it is here.
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
        // The one that has room last: until then, asking again is in vain.
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

    /// Whether a call fits into the total.
    #[inline]
    pub(crate) fn fits(&self, seat: Seat) -> bool {
        self.total.is_none_or(|total| has_room(self.in_flight, total, seat.weight))
    }

    /// Takes what [`check`](Self::check) had nothing against.
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

    /// An attempt is over; one that was not `sent` used nothing of a rate.
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

    /// The calls of the tenant are held by its limit in the queue of this operation.
    pub(crate) fn park(&mut self, seat: Seat, operation: Operation) {
        self.rows.park(seat.row, operation);
    }

    /// The operations in whose queues a tenant's calls are held, and the tenant (`None`: several): now
    /// they may go.
    pub(crate) fn unpark(&mut self, seat: Seat) -> Option<(Option<Tenant>, Vec<Operation>)> {
        self.rows.unpark(seat.row)
    }

    /// Whether a rate of all callers, and not of each tenant, is meant.
    pub(crate) fn is_wide(&self, reached: Reached) -> bool {
        match reached {
            Reached::Total => true,
            Reached::Tenant => false,
            Reached::Rate(at, _) => self.rates[at].of_tenant.is_none(),
        }
    }

    /// How far ahead the tenant is of others, where the total is short.
    pub(crate) fn virtual_time(&self, seat: Seat) -> u64 {
        self.rows.virtual_time(seat.row)
    }

    /// A call of a tenant was admitted from a queue, where the total is short.
    pub(crate) fn served(&mut self, seat: Seat, weight_of_tenant: u32) {
        self.rows.served(seat, weight_of_tenant);
    }

    pub(crate) fn weight_of(&self, tenant: Tenant) -> u32 {
        match &self.tenants {
            Some(tenants) if tenant != Tenant::ALL => tenants.profile(tenant).weight.get(),
            _ => 1,
        }
    }

    /// Why, the limit's name, and whose it is.
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

    /// Whether no call fits into the total.
    pub(crate) fn is_full(&self) -> bool {
        self.total.is_some_and(|total| self.in_flight >= total)
    }

    pub(crate) fn total(&self) -> Option<u32> {
        self.total
    }

    /// Tenants that are distinguished at the moment, and how often one was not.
    pub(crate) fn tenants_seen(&self) -> (u32, u64) {
        (self.rows.len(), self.rows.overflowed())
    }
}

/// Whether a call of this weight fits. One that weighs more than the limit goes alone.
fn has_room(in_flight: u32, limit: u32, weight: u32) -> bool {
    in_flight == 0 || in_flight.saturating_add(weight) <= limit
}
