//! The rows of pages: bounded, with a count of the rest.

use std::time::Duration;

use sandtower::admission::QueueSnapshot;
use sandtower::circuit_breaker::{Snapshot, State, Transition};
use sandtower::core::Rejection;
use sandtower::pool::PoolSnapshot;
use serde::Serialize;

use super::reading::{Reading, Whose};
use crate::Gateway;
use crate::virtual_keys::StoreState;

/// The first rows of a list.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Top<T> {
    pub(in crate::admin) rows: Vec<T>,
    /// How many there are besides.
    pub(in crate::admin) more: usize,
}

impl<T> Top<T> {
    /// The first `most` of all.
    pub(in crate::admin) fn of(mut all: Vec<T>, most: usize) -> Self {
        let more = all.len().saturating_sub(most);
        all.truncate(most);
        Self { rows: all, more }
    }
}

pub(in crate::admin) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the gateway as a whole does.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Totals {
    pub(in crate::admin) version: &'static str,
    pub(in crate::admin) uptime_s: u64,
    pub(in crate::admin) shuts_down: bool,
    pub(in crate::admin) connections: usize,
    pub(in crate::admin) in_flight: usize,
    /// Calls that wait in queues.
    pub(in crate::admin) waiting: u64,
    /// Sandboxes that the gateway knows.
    pub(in crate::admin) sandboxes: usize,
    /// Orphaned sandboxes that are being killed.
    pub(in crate::admin) orphans: u64,
    /// API keys with a stack.
    pub(in crate::admin) keys: usize,
    pub(in crate::admin) breakers_not_closed: usize,
    pub(in crate::admin) creations_started: u64,
    pub(in crate::admin) creations_succeeded: u64,
    pub(in crate::admin) creations_failed: u64,
    pub(in crate::admin) admitted: u64,
    pub(in crate::admin) rejected: u64,
    /// Creations that were served from warm pools.
    pub(in crate::admin) pool_hits: u64,
    pub(in crate::admin) pool_misses: u64,
    /// Sandboxes in warm pools that may be given to a caller.
    pub(in crate::admin) warm_idle: u64,
    pub(in crate::admin) warm_target: u64,
    pub(in crate::admin) access_log_dropped: u64,
    /// Whether virtual keys and what they have used are written.
    pub(in crate::admin) key_store: StoreState,
}

impl Totals {
    pub(super) fn of(gateway: &Gateway, stacks: &[Reading], uptime: Duration) -> Self {
        let shared = &gateway.shared;
        let sum = |read: fn(&Reading) -> u64| stacks.iter().map(read).sum();
        let queues = |read: fn(&QueueSnapshot) -> u64| {
            stacks.iter().flat_map(|stack| &stack.admission.queues).map(read).sum()
        };
        let pools = |read: fn(&PoolSnapshot) -> u64| {
            stacks.iter().filter_map(|stack| stack.pool.as_ref()).map(read).sum()
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: uptime.as_secs(),
            shuts_down: shared.is_draining(),
            connections: gateway.connections(),
            in_flight: gateway.in_flight(),
            waiting: sum(|stack| u64::from(stack.waits())),
            sandboxes: shared.sandboxes.len(),
            orphans: sum(|stack| stack.tracker.killing),
            keys: stacks.len().saturating_sub(1),
            breakers_not_closed: stacks
                .iter()
                .filter(|it| it.breaker.state != State::Closed)
                .count(),
            creations_started: sum(|stack| stack.events.started),
            creations_succeeded: sum(|stack| stack.events.succeeded),
            creations_failed: sum(|stack| stack.events.failed),
            admitted: queues(|queue| queue.admitted),
            rejected: queues(rejected),
            pool_hits: pools(|pool| pool.hits),
            pool_misses: pools(super::pools::misses),
            warm_idle: pools(|pool| pool.idle.into()),
            warm_target: pools(|pool| pool.target.into()),
            access_log_dropped: shared.access_log.dropped(),
            key_store: shared.virtual_keys.store(),
        }
    }
}

/// The calls that a queue has rejected.
pub(in crate::admin) fn rejected(queue: &QueueSnapshot) -> u64 {
    queue.rejected_full
        + queue.rejected_late
        + queue.rejected_by_gate
        + queue.rejected_by_limit
        + queue.rejected_draining
}

/// A circuit breaker and what it did of late.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct BreakerRow {
    /// `data_plane`, or `key_` and the hash of the key.
    pub(in crate::admin) breaker: String,
    /// The name of the key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) label: Option<String>,
    #[serde(flatten)]
    pub(in crate::admin) snapshot: Snapshot,
    /// How long it has not been closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) not_closed_ms: Option<u64>,
    /// Calls that wait in the queues behind it.
    pub(in crate::admin) waiting: u32,
    /// Its last transitions, the oldest first.
    pub(in crate::admin) history: Vec<Transition>,
}

impl BreakerRow {
    /// Those that are not closed first.
    pub(in crate::admin) fn all(stacks: &[Reading], most: usize) -> Top<Self> {
        let mut all: Vec<&Reading> = stacks.iter().collect();
        let is_closed =
            |stack: &&Reading| stack.breaker.state == State::Closed && !stack.breaker.forced;
        all.sort_by_key(|stack| {
            (is_closed(stack), !stack.is_data_plane(), stack.breaker.counters.trips == 0)
        });
        let Top { rows, more } = Top::of(all, most);
        Top { rows: rows.into_iter().map(Self::of).collect(), more }
    }

    fn of(stack: &Reading) -> Self {
        let history = stack.circuit_breaker().history();
        Self {
            breaker: stack.name.clone(),
            label: stack.label.clone(),
            snapshot: stack.breaker.clone(),
            not_closed_ms: not_closed(stack).map(whole_millis),
            waiting: stack.waits(),
            history,
        }
    }
}

/// How long the breaker of a stack has not been closed: an outage, not its present state.
pub(in crate::admin) fn not_closed(stack: &Reading) -> Option<Duration> {
    if stack.breaker.state == State::Closed {
        return None;
    }
    let history = stack.circuit_breaker().history();
    let outage = history.iter().rev().take_while(|moved| moved.to != State::Closed);
    Some(outage.last().map_or(stack.breaker.since, |first| first.ago))
}

/// The queue of one operation.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct QueueRow {
    #[serde(flatten)]
    pub(in crate::admin) whose: Whose,
    #[serde(flatten)]
    pub(in crate::admin) queue: QueueSnapshot,
}

impl QueueRow {
    /// Those in which most calls wait first.
    pub(in crate::admin) fn all(stacks: &[Reading], most: usize) -> Top<Self> {
        let mut all: Vec<(&Reading, &QueueSnapshot)> = stacks
            .iter()
            .flat_map(|it| it.admission.queues.iter().map(move |queue| (it, queue)))
            .collect();
        all.sort_by_key(|(_, queue)| {
            std::cmp::Reverse((queue.waiting, queue.in_flight, queue.admitted))
        });
        let Top { rows, more } = Top::of(all, most);
        let row = |(stack, queue): (&Reading, &QueueSnapshot)| Self {
            whose: stack.whose(),
            queue: *queue,
        };
        Top { rows: rows.into_iter().map(row).collect(), more }
    }
}

/// The calls of one tenant that wait for one operation.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct WaitingRow {
    #[serde(flatten)]
    pub(in crate::admin) whose: Whose,
    pub(in crate::admin) operation: &'static str,
    /// The name of the tenant, where a stack has several.
    pub(in crate::admin) tenant: Option<String>,
    pub(in crate::admin) priority: &'static str,
    pub(in crate::admin) calls: u32,
    pub(in crate::admin) longest_ms: u64,
    /// What the oldest of them waits for.
    pub(in crate::admin) why: String,
}

impl WaitingRow {
    /// Those that have waited longest first.
    pub(in crate::admin) fn all(stacks: &[Reading], most: usize) -> Top<Self> {
        let mut all: Vec<Self> = stacks.iter().flat_map(Self::of).collect();
        all.sort_by_key(|row| std::cmp::Reverse(row.longest_ms));
        Top::of(all, most)
    }

    fn of(stack: &Reading) -> impl Iterator<Item = Self> {
        let tenants = &stack.handles().tenants;
        stack.waiting.iter().map(|waiting| Self {
            whose: stack.whose(),
            operation: waiting.operation.name(),
            tenant: (waiting.tenant != sandtower::core::Tenant::ALL)
                .then(|| crate::recent::cut(&tenants.profile(waiting.tenant).name)),
            priority: waiting.priority.label(),
            calls: waiting.calls,
            longest_ms: whole_millis(waiting.longest),
            why: why(waiting.held_by.as_ref()),
        })
    }
}

pub(in crate::admin) fn why(held_by: Option<&Rejection>) -> String {
    match held_by {
        Some(held) => format!("{} {}", held.layer(), held.reason()),
        None => String::from("other calls are ahead of it"),
    }
}

/// How much of a limit is used.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct LimitRow {
    #[serde(flatten)]
    pub(in crate::admin) whose: Whose,
    /// `concurrency`, `rate` or `sandboxes`.
    pub(in crate::admin) kind: &'static str,
    /// The operation; of sandboxes, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) operation: Option<&'static str>,
    pub(in crate::admin) used: u64,
    pub(in crate::admin) limit: u64,
    /// Of 1.
    pub(in crate::admin) share: f64,
    /// The window of a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) window_s: Option<u64>,
}

impl LimitRow {
    /// Those that are used most first.
    pub(in crate::admin) fn all(stacks: &[Reading], most: usize) -> Top<Self> {
        let mut all: Vec<Self> = stacks.iter().flat_map(Self::of).collect();
        all.sort_by(|one, other| other.share.total_cmp(&one.share));
        Top::of(all, most)
    }

    pub(super) fn of(stack: &Reading) -> Vec<Self> {
        let row = |kind, operation, used: u64, limit: u64, window_s| Self {
            whose: stack.whose(),
            kind,
            operation,
            used,
            limit,
            share: used as f64 / limit.max(1) as f64,
            window_s,
        };
        let queues = stack.admission.queues.iter().map(|queue| {
            let (used, limit) = (queue.in_flight.into(), queue.limit.into());
            row("concurrency", Some(queue.operation), used, limit, None)
        });
        let window = stack.rate.window.as_secs();
        let rates = stack.rate.by_operation.iter().filter_map(|rate| {
            Some(row("rate", Some(rate.operation), rate.count, rate.limit?, Some(window)))
        });
        let sandboxes = stack.quota.limit.filter(|_| !stack.is_data_plane());
        let sandboxes = sandboxes
            .map(|limit| row("sandboxes", None, stack.quota.in_use.into(), limit.into(), None));
        queues.chain(rates).chain(sandboxes).collect()
    }
}
