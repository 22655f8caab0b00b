//! What a pool decides, without anything asynchronous: which sandbox serves a request, what is created and
//! what is killed. The instant is an argument, so the same calls give the same decisions.
//!
//! [`Pool`](crate::Pool) drives it; so does a model of a service, such as that of the example `policies`.

mod fair;
mod hand_out;
mod hours;
mod kinds;
mod miss;
mod orders;
mod plan;
mod record;
mod snapshot;
mod succession;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sandtower_core::Tick;
use sandtower_e2b::{CallId, SandboxId};

use crate::builds::Built;
use crate::config::{Config, ConfigError};
use crate::items::{ItemState, Items};
use crate::refill::Pace;
use crate::shape::Shape;

use fair::Fair;
use hours::Hours;
use kinds::{Kind, Seen};
use orders::Unknown;
use record::{Inherited, Recording};

pub use hand_out::HandOut;
pub use miss::Miss;
pub use orders::{Alert, Order};
pub use plan::{Room, Work};
pub(crate) use record::Moment;
pub use snapshot::{KindSnapshot, PoolSnapshot};

/// The decisions of a pool.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    stock: Items,
    kinds: Vec<Kind>,
    /// The number of the next kind.
    next_kind: u32,
    /// Shapes that were asked for once.
    seen: Seen,
    /// Creations that were asked for and have not ended, by number.
    orders: BTreeMap<u64, Order>,
    next_order: u64,
    /// Creations of which it is not known whether they left a sandbox: they count until then.
    unknown: Vec<Unknown>,
    /// Creations of an earlier process: they count until they are found, or can no longer appear.
    inherited: Vec<Inherited>,
    /// Those that were found, or did not appear in time: what still appears of them is killed.
    late: BTreeSet<CallId>,
    /// Idle stock of an earlier process, which a listing is to tell of.
    adoptable: BTreeSet<SandboxId>,
    recording: Recording,
    finds_by_marks: bool,
    next_lease: u64,
    /// To be killed, and not handed to whoever does that yet.
    doomed: Vec<SandboxId>,
    pace: Pace,
    fair: Fair,
    hours: Hours,
    money: Money,
    counts: Counts,
    /// What an earlier pool of this process still has.
    beside: u32,
    is_shut_down: bool,
}

/// What warm sandboxes have cost so far.
#[derive(Clone, Copy, Debug)]
struct Money {
    sandbox_seconds: f64,
    at: Tick,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    hits: u64,
    misses: [u64; Miss::ALL.len()],
    capped_misses: u64,
    created: u64,
    failed: u64,
    expired: u64,
    retired: u64,
    yielded: u64,
    dead: u64,
    reused: u64,
    alerts: u64,
    clock_jumps: u64,
    most_in_stock: u32,
}

impl Engine {
    /// An engine with an empty stock.
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be valid.
    pub fn new(config: Config, now: Tick) -> Result<Self, ConfigError> {
        config.check()?;
        let pace = Pace::new(config.create_every, config.create_burst);
        let mut engine = Self {
            stock: Items::default(),
            kinds: Vec::new(),
            next_kind: 0,
            seen: Seen::default(),
            orders: BTreeMap::new(),
            next_order: 1,
            unknown: Vec::new(),
            inherited: Vec::new(),
            late: BTreeSet::new(),
            adoptable: BTreeSet::new(),
            recording: Recording::default(),
            finds_by_marks: true,
            next_lease: 1,
            doomed: Vec::new(),
            pace,
            fair: Fair::default(),
            hours: Hours::default(),
            money: Money { sandbox_seconds: 0.0, at: now },
            counts: Counts::default(),
            beside: 0,
            is_shut_down: false,
            config: Arc::new(config),
        };
        for body in &Arc::clone(&engine.config).shapes {
            let shape = Shape::configured(body)?;
            if engine.kind_of(&shape).is_none() {
                engine.add(shape, true, now);
            }
        }
        Ok(engine)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the bounds of the stock while it runs: `min` of each configured shape, `max` in all. Stock
    /// above `max` is not killed; it ends by use and by age.
    pub fn set_bounds(&mut self, min: u32, max: u32) {
        let config = Arc::make_mut(&mut self.config);
        (config.min, config.max) = (min.min(max), max);
    }

    /// All sandboxes that the pool pays for or may pay for: in stock, being created, being killed.
    pub fn in_stock(&self) -> u32 {
        let all = self.stock.items().len()
            + self.orders.len()
            + self.unknown.len()
            + self.inherited.len();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// Sandboxes that may be given to a caller.
    pub fn idle(&self) -> u32 {
        let idle = self.stock.items().iter().filter(|item| item.state == ItemState::Idle);
        u32::try_from(idle.count()).unwrap_or(u32::MAX)
    }

    /// Dollars so far.
    pub fn spent(&self, now: Tick) -> f64 {
        let since = now.since(self.money.at).as_secs_f64() * f64::from(self.in_stock());
        (self.money.sandbox_seconds + since) / 3_600.0 * self.config.price
    }

    /// Before a change of the stock: what it was costs until now.
    fn pay(&mut self, now: Tick) {
        let seconds = now.since(self.money.at).as_secs_f64();
        self.money.sandbox_seconds += seconds * f64::from(self.in_stock());
        self.money.at = self.money.at.max(now);
    }

    /// The sandbox is known to have ended.
    pub fn ended(&mut self, id: &SandboxId, now: Tick) {
        self.pay(now);
        self.stock.remove(id);
    }

    /// A sandbox that is leased or idle was found dead, or its hand-out was given up: it is never returned to a caller,
    /// and the next [plan](Self::plan) kills it.
    pub fn dead(&mut self, id: &SandboxId, now: Tick) {
        self.pay(now);
        if self.stock.end(id) {
            self.counts.dead += 1;
            self.doomed.push(id.clone());
        }
    }

    /// A real creation needs a slot: the next [plan](Self::plan) kills the oldest idle sandbox, of another
    /// shape if there is one. `false`: there is none.
    pub fn yield_slot(&mut self, to: Option<&Shape>, now: Tick) -> bool {
        self.pay(now);
        let to = to.and_then(|shape| self.kind_of(shape)).map(|kind| kind.number);
        let idle = || self.stock.items().iter().filter(|item| item.state == ItemState::Idle);
        let oldest = idle().find(|item| Some(item.shape) != to).or_else(|| idle().next());
        let Some(id) = oldest.map(|item| item.id.clone()) else { return false };
        self.stock.end(&id);
        self.doomed.push(id);
        self.counts.yielded += 1;
        true
    }

    /// A new version of `template`, by id or alias, is there: stock of older ones is not returned any
    /// more, and killed.
    pub fn template_changed(&mut self, template: &str) {
        let is_of = |kind: &&mut Kind| {
            kind.shape.template() == template || kind.template_id.as_deref() == Some(template)
        };
        self.kinds.iter_mut().filter(is_of).for_each(|kind| kind.version += 1);
    }

    /// The templates of the team are these. Returns those that were built anew since the last time: their older
    /// stock is retired.
    pub(crate) fn built(&mut self, all: &[Built]) -> Vec<String> {
        let mut changed = Vec::new();
        for kind in &mut self.kinds {
            let is_it = |built: &&Built| {
                let id = kind.template_id.as_ref();
                built.is_called(kind.shape.template()) || id.is_some_and(|id| built.is_called(id))
            };
            let build = all.iter().find(is_it).and_then(|built| built.build.clone());
            let stock = self.stock.items().iter().any(|item| item.shape == kind.number);
            // Without stock it is not known of which build the next will be.
            let before = std::mem::replace(&mut kind.build, build.filter(|_| stock));
            if let (Some(before), Some(new)) = (before, &kind.build)
                && before != *new
            {
                kind.version += 1;
                changed.push(kind.shape.template().to_owned());
            }
        }
        changed
    }

    /// A complete listing of the pool's sandboxes was read, which was asked for at `asked`. What has been in
    /// stock for longer than a listing may lag, and is not `listed`, has ended.
    pub fn listed(
        &mut self,
        listed: impl Fn(&SandboxId) -> bool,
        asked: Tick,
        now: Tick,
    ) -> Vec<SandboxId> {
        self.pay(now);
        let is_gone =
            |id: &SandboxId, created: Tick| asked.since(created) > LISTING_LAG && !listed(id);
        let items = self.stock.items().iter();
        let in_use = |state| matches!(state, ItemState::Leased(_) | ItemState::Taken(_));
        let gone = items.filter(|item| !in_use(item.state) && is_gone(&item.id, item.created));
        let gone: Vec<_> = gone.map(|item| (item.id.clone(), item.state)).collect();
        for (id, _) in &gone {
            self.stock.remove(id);
            self.adoptable.remove(id);
        }
        self.forget_inherited(Some(asked), now);
        // One that was being killed has ended as it was to.
        let dead = gone.into_iter().filter(|(_, state)| *state == ItemState::Idle);
        let dead: Vec<_> = dead.map(|(id, _)| id).collect();
        self.counts.dead += dead.len() as u64;
        dead
    }

    /// Nothing is created or returned any more. Returns the sandboxes to kill: with `keep`, those alone that are
    /// of no use to a later process.
    pub fn shut_down(&mut self, keep: bool, now: Tick) -> Vec<SandboxId> {
        self.pay(now);
        self.is_shut_down = true;
        let items = self.stock.items().iter();
        let is_killed = |state| match state {
            ItemState::Idle => !keep,
            // The caller is about to claim it.
            ItemState::Taken(_) => false,
            ItemState::Leased(_) | ItemState::Ending => true,
        };
        let killed = items.filter(|item| is_killed(item.state));
        let kept = |id: &SandboxId| keep && self.adoptable.contains(id);
        let all: Vec<_> = killed.map(|item| item.id.clone()).filter(|id| !kept(id)).collect();
        for id in &all {
            self.stock.end(id);
        }
        all
    }
}

/// How long after its creation a sandbox may be missing from a listing.
const LISTING_LAG: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests;
