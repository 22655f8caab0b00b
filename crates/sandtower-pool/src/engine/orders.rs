use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::{CallId, SandboxId};

use super::Engine;
use super::record::useless;
use crate::items::{Item, Key};
use crate::shape::Shape;

/// A creation for the stock: asked for, and counted before it is seen.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its number.
    pub number: u64,
    /// What to create.
    pub shape: Shape,
    pub(super) kind: u32,
    pub(super) sent: Tick,
    /// The call that it is sent as, once that is known.
    pub(super) call: Option<CallId>,
    pub(super) appears_until: Tick,
}

/// A creation of which it is not known whether it left a sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown {
    pub(super) call: Option<CallId>,
    /// Until then it counts.
    pub(super) until: Tick,
}

/// Creations of a shape failed three times in a row, and are tried rarely from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The template.
    pub template: String,
    /// When the next creation is tried.
    pub again_in: Duration,
}

/// How long a creation without a known result counts: the service gives up after 90 s, and what it left is
/// killed within a minute.
const UNKNOWN_FOR: Duration = Duration::from_secs(150);

impl Engine {
    /// The creation is about to be sent as `call`, and takes no longer than until `limit`.
    pub(crate) fn sends(&mut self, order: &Order, call: CallId, limit: Tick) {
        if let Some(order) = self.orders.get_mut(&order.number) {
            (order.call, order.appears_until) = (Some(call), limit + UNKNOWN_FOR);
            self.stock.change(|| Key::Creation(call));
        }
    }

    /// The creation was not sent, and that says nothing about its shape.
    pub(crate) fn not_sent(&mut self, order: &Order, now: Tick) {
        self.pay(now);
        self.settle(order);
    }

    /// Forgets the order; `false`: it is not there.
    fn settle(&mut self, order: &Order) -> Option<Order> {
        let order = self.orders.remove(&order.number)?;
        if let Some(call) = order.call {
            self.stock.change(|| Key::Creation(call));
        }
        Some(order)
    }

    /// The creation succeeded. `false`: the pool is shut down, and the caller kills it.
    ///
    /// `template` is the id of the template that the service named: if it is another one than before, the
    /// alias stands for a new template, and older stock is retired.
    pub fn created(
        &mut self,
        order: &Order,
        id: SandboxId,
        template: Option<&str>,
        now: Tick,
    ) -> bool {
        self.pay(now);
        let is_known = self.settle(order).is_some();
        if self.is_shut_down || !is_known {
            return false;
        }
        let (idle_for, max_lifetime) = (self.config.idle_for, self.config.max_lifetime);
        let Some(kind) = self.kind(order.kind) else {
            // Its shape was forgotten meanwhile.
            self.left_behind(id, idle_for, now);
            return true;
        };
        kind.created_in(now.since(order.sent));
        kind.backoff.succeeded();
        if let (Some(before), Some(new)) = (&kind.template_id, template)
            && before != new
        {
            kind.version += 1;
        }
        kind.template_id = template.map(str::to_owned).or(kind.template_id.take());
        let (shape, version) = (kind.number, kind.version);
        // Older, it could not live for as long as some ask.
        let useful = max_lifetime.saturating_sub(kind.longest).max(idle_for.min(max_lifetime / 2));
        let until = order.sent + idle_for.min(useful);
        let ends = (until, now + idle_for);
        self.stock.put(Item::idle(id, (shape, version), order.sent, ends));
        self.counts.created += 1;
        self.note_stock();
        true
    }

    /// The creation failed; `unknown`: it may have left a sandbox, which counts until it is found and
    /// killed.
    pub fn failed(&mut self, order: &Order, unknown: bool, now: Tick) -> Option<Alert> {
        self.pay(now);
        if let Some(Order { call, .. }) = self.settle(order)
            && unknown
        {
            self.unknown.push(Unknown { call, until: now + UNKNOWN_FOR });
        }
        self.counts.failed += 1;
        let kind = self.kind(order.kind)?;
        if !kind.backoff.failed(now) {
            return None;
        }
        let template = kind.shape.template().to_owned();
        let again_in = kind.backoff.until().since(now);
        self.counts.alerts += 1;
        Some(Alert { template, again_in })
    }

    /// A sandbox that an earlier process left in stock, with `left` of its lifetime. `false`: it is of no use,
    /// and the caller kills it.
    pub fn adopt(
        &mut self,
        id: SandboxId,
        mark: &str,
        (age, left): (Duration, Duration),
        now: Tick,
    ) -> bool {
        self.pay(now);
        let is_it = |kind: &&super::Kind| !kind.shape.has_variables() && kind.shape.mark() == mark;
        let Some(kind) = self.kinds.iter().find(is_it) else { return false };
        let (shape, version) = (kind.number, kind.version);
        if self.is_shut_down || self.in_stock() >= self.most() {
            return false;
        }
        let created = Tick::ZERO + now.since(Tick::ZERO).saturating_sub(age);
        let until = now + left;
        let ends = (until, until + Duration::from_secs(2));
        self.stock.put(Item::idle(id, (shape, version), created, ends));
        self.note_stock();
        true
    }

    /// A sandbox that is of no use, such as one that an earlier process left in stock: it counts until it has
    /// ended, and the next [plan](Self::plan) kills it.
    pub fn left_behind(&mut self, id: SandboxId, lives: Duration, now: Tick) {
        self.pay(now);
        self.doomed.push(id.clone());
        self.stock.put(useless(id, now, now + lives));
    }

    /// Whether the sandbox is in stock.
    pub fn holds(&self, id: &SandboxId) -> bool {
        self.stock.get(id).is_some()
    }

    pub(super) fn forget_unknown(&mut self, now: Tick) {
        for Unknown { call, .. } in self.unknown.extract_if(.., |unknown| unknown.until <= now) {
            if let Some(call) = call {
                self.stock.change(|| Key::Creation(call));
            }
        }
    }

    pub(super) fn note_stock(&mut self) {
        self.counts.most_in_stock = self.counts.most_in_stock.max(self.in_stock());
    }
}
