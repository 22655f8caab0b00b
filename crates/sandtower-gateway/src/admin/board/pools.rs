//! The warm pools of keys, and what is wrong with them.

use sandtower::circuit_breaker::State;
use sandtower::pool::{Cap, KindSnapshot, PoolSnapshot};
use serde::Serialize;

use super::problems::{Action, Problem, Severity, Target, names};
use super::reading::{Reading, Whose};
use super::rows::Top;
use crate::Gateway;

/// How the ids of problems of pools begin.
const OF_POOL: &str = "pool: ";

/// The warm pools.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Pools {
    /// Whether the configuration has a pool.
    pub(in crate::admin) is_configured: bool,
    pub(in crate::admin) problems: Vec<Problem>,
    /// Those with the most requests first.
    #[serde(flatten)]
    pub(in crate::admin) all: Top<PoolRow>,
}

/// The pool of one key.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct PoolRow {
    #[serde(flatten)]
    pub(in crate::admin) whose: Whose,
    /// Hits as a share of all requests; `None`: there was none.
    pub(in crate::admin) hit_rate: Option<f64>,
    #[serde(flatten)]
    pub(in crate::admin) pool: PoolSnapshot,
}

impl Pools {
    pub(in crate::admin) fn of(
        gateway: &Gateway,
        stacks: &[Reading],
        problems: &[Problem],
        most: usize,
    ) -> Self {
        let is_configured = gateway.shared.generation.load().config.has_pool();
        let mut all: Vec<PoolRow> = stacks.iter().filter_map(PoolRow::of).collect();
        all.sort_by_key(|row| std::cmp::Reverse((row.requests(), row.pool.idle)));
        let of_pool = problems.iter().filter(|problem| problem.id.starts_with(OF_POOL));
        let mut problems: Vec<Problem> = of_pool.cloned().collect();
        // Whoever reads them here is there.
        let leads_here = |action: &Action| matches!(action.target, Target::Page(PAGE));
        problems.iter_mut().for_each(|problem| problem.press.retain(|action| !leads_here(action)));
        Self { is_configured, problems, all: Top::of(all, most) }
    }
}

impl PoolRow {
    fn of(stack: &Reading) -> Option<Self> {
        let (whose, pool) = (stack.whose(), stack.pool.clone()?);
        let mut row = Self { whose, hit_rate: None, pool };
        let requests = row.requests();
        row.hit_rate = (requests > 0).then(|| row.pool.hits as f64 / requests as f64);
        Some(row)
    }

    fn requests(&self) -> u64 {
        self.pool.hits + misses(&self.pool)
    }
}

/// The requests that were not served from stock.
pub(in crate::admin) fn misses(pool: &PoolSnapshot) -> u64 {
    pool.misses.values().sum()
}

/// What is wrong with the pools of all keys.
pub(super) fn problems(keys: &[&Reading]) -> Vec<Problem> {
    let all = [unrecorded(keys), suspended(keys), paused(keys), capped(keys), out_of_slots(keys)];
    all.into_iter().flatten().collect()
}

/// The stacks that have such a shape, and the first of these.
fn with<'r>(
    keys: &[&'r Reading],
    is_so: impl Fn(&KindSnapshot) -> bool,
) -> Option<(Vec<&'r Reading>, &'r KindSnapshot)> {
    let shapes = |stack: &&'r Reading| stack.pool.as_ref().map_or(&[][..], |pool| &pool.shapes);
    let have = |stack: &&&'r Reading| shapes(stack).iter().any(&is_so);
    let found: Vec<&Reading> = keys.iter().filter(have).copied().collect();
    let first = shapes(found.first()?).iter().find(|shape| is_so(shape))?;
    Some((found, first))
}

fn problem(
    id: &str,
    severity: Severity,
    (what, does): (String, &str),
    stacks: &[&Reading],
    press: Action,
) -> Problem {
    Problem {
        id: format!("{OF_POOL}{id}"),
        severity,
        what,
        whom: names(stacks.iter().copied()),
        since: None,
        does: does.to_owned(),
        press: vec![press],
    }
}

fn unrecorded(keys: &[&Reading]) -> Option<Problem> {
    let is_it = |stack: &&&Reading| {
        stack.pool.as_ref().is_some_and(|pool| pool.store_available == Some(false))
    };
    let stacks: Vec<&Reading> = keys.iter().filter(is_it).copied().collect();
    let (what, does) = (
        String::from("The store of the warm pool is not available: nothing is served from stock"),
        "It creates a sandbox for each caller, nothing for the stock, and tries again each second. The log \
         says whether the file cannot be written or another process has it.",
    );
    let press = Action::page("Pool", PAGE);
    (!stacks.is_empty()).then(|| problem("store", Severity::Warning, (what, does), &stacks, press))
}

fn suspended(keys: &[&Reading]) -> Option<Problem> {
    let (stacks, shape) = with(keys, |shape| shape.is_suspended)?;
    let what = format!(
        "Creating warm sandboxes of {} failed three times in a row: creations for the stock are suspended",
        shape.name
    );
    let does = "It creates sandboxes for callers as always, and tries again for the stock: after 30 s at \
                first, every 10 min in the end. The log has the error.";
    Some(problem("suspended", Severity::Warning, (what, does), &stacks, Action::page("Pool", PAGE)))
}

/// Of the outage itself there is a problem of its own.
fn paused(keys: &[&Reading]) -> Option<Problem> {
    let not_closed: Vec<&Reading> =
        keys.iter().copied().filter(|stack| stack.breaker.state != State::Closed).collect();
    let (stacks, _) = with(&not_closed, |shape| shape.capped_by == Some(Cap::Breaker))?;
    let what = String::from("No warm sandboxes are created: the circuit breaker is not closed");
    let does = "It serves creations from the stock while that lasts, and refills it once the breaker closes.";
    let press = Action::page("Breakers", "/breakers");
    Some(problem("paused", Severity::Note, (what, does), &stacks, press))
}

fn capped(keys: &[&Reading]) -> Option<Problem> {
    let is_capped = |shape: &KindSnapshot| matches!(shape.capped_by, Some(Cap::Max | Cap::Budget));
    let (stacks, shape) = with(keys, is_capped)?;
    let what = match shape.capped_by {
        Some(Cap::Budget) => {
            "The budget of the pool is reached: demand calls for more warm sandboxes"
        }
        _ => "The limit max of the pool is reached: demand calls for more warm sandboxes",
    };
    let does = "It divides the stock among shapes and tenants, and creates a sandbox for each caller that \
                finds none. The settings max and budget of [stack.pool] raise it.";
    let what = format!("{what} of {}", shape.name);
    Some(problem("capped", Severity::Note, (what, does), &stacks, Action::page("Pool", PAGE)))
}

fn out_of_slots(keys: &[&Reading]) -> Option<Problem> {
    let (stacks, _) = with(keys, |shape| shape.capped_by == Some(Cap::Slots))?;
    let what = String::from("The plan has no free slot for warm sandboxes");
    let does = "It leaves the slots to callers, and gives them those of warm sandboxes.";
    let press = Action::page("Sandboxes", "/sandboxes");
    Some(problem("slots", Severity::Note, (what, does), &stacks, press))
}

const PAGE: &str = "/pool";
