use std::collections::BTreeMap;

use sandtower_core::Tick;
use serde::Serialize;

use super::{Engine, Kind, Miss, Recording};
use crate::items::{Item, ItemState};
use crate::target::{Cap, Term};

/// A pool at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Requests that were served from stock.
    pub hits: u64,
    /// Requests that were not, by [reason](Miss).
    pub misses: BTreeMap<&'static str, u64>,
    /// Requests that found their shape's stock empty, or their share of it used up, while `max` or the budget
    /// kept it below what demand calls for. They are in `misses`, too.
    pub capped_misses: u64,
    /// Sandboxes that may be given to a caller.
    pub idle: u32,
    /// Sandboxes that are being given to callers, until they are claimed.
    pub leased: u32,
    /// Sandboxes that are being created; those that a failed creation, or an earlier process, may
    /// have left are included.
    pub creating: u32,
    /// Sandboxes that are being killed.
    pub ending: u32,
    /// The most in stock at a time so far, all of the above included.
    pub most_in_stock: u32,
    /// What the pool is to have.
    pub target: u32,
    /// Dollars so far.
    pub cost: f64,
    /// Dollars an hour at present.
    pub cost_per_hour: f64,
    /// The budget, in dollars an hour.
    pub budget: f64,
    /// The age of the oldest sandbox in stock.
    pub oldest_ms: Option<u64>,
    /// Sandboxes that were created for the stock.
    pub created: u64,
    /// Creations for the stock that failed.
    pub failed: u64,
    /// Shapes whose creations failed three times in a row, so far.
    pub alerts: u64,
    /// Sandboxes that were not used within their lifetime.
    pub expired: u64,
    /// Sandboxes that were killed for another reason: a new template, or a hand-out that was lost.
    pub retired: u64,
    /// Sandboxes that were killed since a real creation needed their slot.
    pub yielded: u64,
    /// Sandboxes that were found dead.
    pub dead: u64,
    /// Hits that were served with a sandbox that the same session had used before.
    pub reused: u64,
    /// How often wall time jumped.
    pub clock_jumps: u64,
    /// Whether the stock can be recorded; `None`: it has no [store](crate::Config::store), or has not used it.
    pub store_available: Option<bool>,
    /// Whether the pool is shut down.
    pub is_shut_down: bool,
    /// Each shape.
    pub shapes: Vec<KindSnapshot>,
}

/// One shape of a pool at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KindSnapshot {
    /// The template; shapes that differ in something else are numbered.
    pub name: String,
    /// Whether it is configured, not learned.
    pub is_configured: bool,
    /// Requests of this shape that were served from stock.
    pub hits: u64,
    /// Requests of this shape that were not.
    pub misses: u64,
    /// Sandboxes that may be given to a caller.
    pub idle: u32,
    /// The stock to keep.
    pub target: u32,
    /// What determines the target.
    pub determined_by: Term,
    /// What keeps the stock below it, if anything does.
    pub capped_by: Option<Cap>,
    /// Requests a second.
    pub rate: f64,
    /// How long a creation takes.
    pub lead_ms: u64,
    /// Whether creations are suspended since they failed.
    pub is_suspended: bool,
    /// Requests that the profile forecast for the last whole hour; `None`: it had no forecast.
    pub forecast: Option<f32>,
    /// Requests that came in that hour.
    pub came: Option<u32>,
    /// The error of forecasts as a share of what came, decaying mean; `None`: there was none so far.
    pub forecast_error: Option<f64>,
}

impl Engine {
    /// The state at `now`.
    pub fn snapshot(&self, now: Tick) -> PoolSnapshot {
        let items = self.stock.items();
        let count = |is: fn(&ItemState) -> bool| {
            let found = items.iter().filter(|item| is(&item.state));
            u32::try_from(found.count()).unwrap_or(u32::MAX)
        };
        let creating = self.orders.len() + self.unknown.len() + self.inherited.len();
        let counts = &self.counts;
        let misses = Miss::ALL.map(|miss| (miss.label(), counts.misses[miss as usize]));
        PoolSnapshot {
            hits: counts.hits,
            misses: BTreeMap::from(misses),
            capped_misses: counts.capped_misses,
            idle: self.idle(),
            leased: count(|state| matches!(state, ItemState::Leased(_) | ItemState::Taken(_))),
            creating: u32::try_from(creating).unwrap_or(u32::MAX),
            ending: count(|state| *state == ItemState::Ending),
            most_in_stock: counts.most_in_stock,
            target: self.kinds.iter().map(|kind| kind.target).sum(),
            cost: self.spent(now),
            cost_per_hour: f64::from(self.in_stock()) * self.config.price,
            budget: self.config.budget,
            oldest_ms: items.first().map(|item| whole_millis(item.age(now))),
            created: counts.created,
            failed: counts.failed,
            alerts: counts.alerts,
            expired: counts.expired,
            retired: counts.retired,
            yielded: counts.yielded,
            dead: counts.dead,
            reused: counts.reused,
            clock_jumps: counts.clock_jumps,
            store_available: match self.recording {
                Recording::Off | Recording::Unread => None,
                recording => Some(recording == Recording::Available),
            },
            is_shut_down: self.is_shut_down,
            shapes: self
                .kinds
                .iter()
                .enumerate()
                .map(|(at, kind)| self.kind_at(at, kind, now))
                .collect(),
        }
    }

    fn kind_at(&self, at: usize, kind: &Kind, now: Tick) -> KindSnapshot {
        let template = kind.shape.template();
        let earlier = self.kinds[..at].iter().filter(|other| other.shape.template() == template);
        let name = match earlier.count() {
            0 => template.to_owned(),
            earlier => format!("{template}#{}", earlier + 1),
        };
        let is_idle = |item: &&Item| item.shape == kind.number && item.state == ItemState::Idle;
        let idle = self.stock.items().iter().filter(is_idle).count();
        let last = kind.profile.last();
        KindSnapshot {
            name,
            is_configured: kind.is_configured,
            hits: kind.hits,
            misses: kind.misses,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            target: kind.target,
            determined_by: kind.term,
            capped_by: kind.cap,
            rate: kind.rate.at(now),
            lead_ms: whole_millis(kind.lead),
            is_suspended: kind.backoff.is_suspended(),
            forecast: last.map(|last| last.expected),
            came: last.map(|last| last.came),
            forecast_error: kind.profile.error(),
        }
    }
}

fn whole_millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
