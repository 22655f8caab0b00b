use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Tenant, Tick};
use sandtower_e2b::SandboxId;

use super::{Engine, Miss};
use crate::config::MARGIN;
use crate::items::{Item, ItemState, Lease, SessionOf, Which};
use crate::shape::Wanted;
use crate::target::Cap;

/// How long a hand-out may hold a sandbox: several times what it may take.
const LEASE: Duration = Duration::from_secs(30);
/// So many failures of a sandbox's hand-outs are enough, if the service may be what fails: in an outage that is few
/// of the stock, and a sandbox that fails alone costs few calls their hit.
const DOUBTS: u32 = 3;

/// A sandbox that is leased to one hand-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOut {
    /// The sandbox.
    pub id: SandboxId,
    /// The number of the lease.
    pub lease: u64,
    /// When it ends by itself at the latest, unless its lifetime is extended.
    pub ends_by: Tick,
    /// How old it is.
    pub age: Duration,
    /// How often it was used before.
    pub uses: u32,
}

impl Engine {
    /// A request for a new sandbox came: it counts as demand, and is served from stock or not.
    ///
    /// # Errors
    ///
    /// It is not, for this reason.
    pub fn request(
        &mut self,
        wanted: &Wanted,
        tenant: Tenant,
        session: Option<&SessionOf>,
        now: Tick,
    ) -> Result<HandOut, Miss> {
        let config = Arc::clone(&self.config);
        let number = self.kind_of(&wanted.shape).map(|kind| kind.number);
        if let Some(kind) = number.and_then(|number| self.kind(number)) {
            kind.asked(&config, wanted.timeout, now);
        }
        let leased = self.try_lease(wanted, tenant, session, now);
        self.fair.asked(tenant, leased.is_ok(), now);
        leased
    }

    /// Another sandbox for the same request, after one that was dead.
    ///
    /// # Errors
    ///
    /// There is none, for this reason.
    pub fn another(
        &mut self,
        wanted: &Wanted,
        session: Option<&SessionOf>,
        now: Tick,
    ) -> Result<HandOut, Miss> {
        self.lease(wanted, session, now)
    }

    fn try_lease(
        &mut self,
        wanted: &Wanted,
        tenant: Tenant,
        session: Option<&SessionOf>,
        now: Tick,
    ) -> Result<HandOut, Miss> {
        // What this session has used, no other may have.
        let is_own =
            |item: &Item| item.state == ItemState::Idle && item.session.as_ref() == session;
        let has_own = session.is_some() && self.stock.items().iter().any(is_own);
        if !has_own && !self.fair.allows(tenant, self.idle(), now) {
            return Err(Miss::Share);
        }
        self.lease(wanted, session, now)
    }

    fn lease(
        &mut self,
        wanted: &Wanted,
        session: Option<&SessionOf>,
        now: Tick,
    ) -> Result<HandOut, Miss> {
        if self.is_shut_down {
            return Err(Miss::ShutDown);
        }
        if !self.is_recorded() {
            return Err(Miss::Store);
        }
        let Some(kind) = self.kind_of(&wanted.shape) else {
            return Err(if wanted.shape.has_metadata() { Miss::Metadata } else { Miss::Unknown });
        };
        let oldest = self.config.max_lifetime.checked_sub(wanted.timeout).ok_or(Miss::Lifetime)?;
        let age = now.since(Tick::ZERO).saturating_sub(oldest);
        let which = Which {
            shape: kind.number,
            version: kind.version,
            alive_at: now + MARGIN,
            created_after: Tick::ZERO + age,
            session: session.cloned(),
        };
        self.pay(now);
        let lease = Lease { owner: self.next_lease, until: now + LEASE };
        let Some(item) = self.stock.lease(&which, lease) else {
            let is_old = |item: &&Item| item.state == ItemState::Idle && item.shape == which.shape;
            let any = self.stock.items().iter().filter(is_old).any(|item| item.session.is_none());
            return Err(if any { Miss::Lifetime } else { Miss::Empty });
        };
        self.next_lease += 1;
        let (age, Item { id, ends_by, uses, .. }) = (item.age(now), item);
        Ok(HandOut { id, lease: lease.owner, ends_by, age, uses })
    }

    /// The sandbox is about to be connected to, and ends by `ends_by` from then on.
    pub(crate) fn connects(&mut self, hand_out: &HandOut, ends_by: Tick) {
        self.stock.connects(&hand_out.id, ends_by);
    }

    /// The sandbox was found alive, and is about to be returned to the caller: it counts until it is
    /// [claimed](Self::claimed). `false`: the lease has expired, and it must not be given to a caller.
    pub fn take(&mut self, hand_out: &HandOut, now: Tick) -> bool {
        self.pay(now);
        self.stock.take(&hand_out.id, hand_out.lease)
    }

    /// The response of a sandbox that was [taken](Self::take) leaves the pool: the request was served from stock.
    pub fn served(&mut self, hand_out: &HandOut) {
        self.counts.hits += 1;
        self.counts.reused += u64::from(hand_out.uses > 0);
        let number = self.stock.get(&hand_out.id).map(|item| item.shape);
        if let Some(kind) = number.and_then(|number| self.kind(number)) {
            kind.hits += 1;
        }
    }

    /// The caller has the sandbox: it is no longer stock.
    pub fn claimed(&mut self, id: &SandboxId, now: Tick) {
        self.pay(now);
        self.stock.remove(id);
    }

    /// The caller left without the sandbox, which is being killed: it counts until it has ended.
    pub(crate) fn unclaimed(&mut self, id: &SandboxId, now: Tick) {
        self.pay(now);
        self.stock.end(id);
    }

    /// The hand-out failed, and that said nothing about the sandbox: it may be leased again. It ends by
    /// `ends_by` at the latest.
    pub fn release(&mut self, hand_out: &HandOut, ends_by: Tick) {
        self.stock.release(&hand_out.id, hand_out.lease, ends_by);
    }

    /// The hand-out failed, and that may be the sandbox's or the service's: it may be leased again, but not for the
    /// third time. It ends by `ends_by` at the latest. `false`: it must not be leased any more.
    pub fn doubt(&mut self, hand_out: &HandOut, ends_by: Tick) -> bool {
        let is_kept = self.stock.doubt(&hand_out.id) < DOUBTS;
        is_kept && self.stock.release(&hand_out.id, hand_out.lease, ends_by)
    }

    /// The request was not served from stock after all.
    pub fn missed(&mut self, wanted: Option<&Wanted>, miss: Miss) {
        self.counts.misses[miss as usize] += 1;
        let number = wanted.and_then(|wanted| self.kind_of(&wanted.shape)).map(|kind| kind.number);
        if let Some(kind) = number.and_then(|number| self.kind(number)) {
            kind.misses += 1;
            let is_capped = matches!(kind.cap, Some(Cap::Max | Cap::Budget));
            let is_short = matches!(miss, Miss::Empty | Miss::Share);
            self.counts.capped_misses += u64::from(is_capped && is_short);
        }
    }

    /// Takes a used sandbox back, for the same session alone. `false`: there is no room for it, or it was
    /// used as often as it may be; the caller kills it.
    pub fn take_back(
        &mut self,
        id: SandboxId,
        wanted: &Wanted,
        session: SessionOf,
        (uses, created): (u32, Tick),
        now: Tick,
    ) -> bool {
        self.pay(now);
        let is_full = self.in_stock() >= self.most();
        let Some(kind) = self.kind_of(&wanted.shape) else { return false };
        if self.is_shut_down || is_full || uses >= self.config.reuse || !self.is_recorded() {
            return false;
        }
        let (shape, version) = (kind.number, kind.version);
        let until = now + self.config.idle_for;
        let item = Item::idle(id, (shape, version), created, (until, until));
        self.stock.put(Item { session: Some(session), uses, ..item });
        self.note_stock();
        true
    }
}
