//! The outcome of one run.

use std::collections::BTreeMap;
use std::time::Duration;

use sandtower_load::{
    Call, Ended, Ending, Figures, Part, Query, Sample, SeedFigures, SlowCall, Spent, TenantCall,
    Tenants, ms, recovery,
};

use super::Policy;
use super::app::Processed;
use super::load::{Caller, GREEDY};

/// One query, from its start to its result.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The user, from 1.
    pub user: u32,
    /// The number among the user's queries, from 1.
    pub number: u64,
    /// Its tenant, from 1, if the load has tenants.
    pub tenant: Option<u32>,
    /// When and how it ended.
    pub call: Call,
    /// Executions that succeeded.
    pub done: u32,
    /// Executions that failed.
    pub failures: u32,
    /// The last error, if the query did not succeed.
    pub error: Option<String>,
    /// The breaker's state when it arrived; `None`: there is none.
    pub breaker: Option<&'static str>,
    /// Where its time went.
    pub spent: Vec<Spent>,
}

/// The outcome of one policy with one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The policy.
    pub policy: Policy,
    /// `virtual` or `real`.
    pub clock: &'static str,
    /// The seed of the run.
    pub seed: u64,
    /// Every query, by user and number.
    pub results: Vec<QueryResult>,
    /// Whether users send their queries one after the other.
    pub closed: bool,
    /// The run over time.
    pub samples: Vec<Sample>,
    /// How many queries each tenant offered; empty if the load has no tenants.
    pub offered: BTreeMap<u32, u64>,
    /// Arrivals that were dropped.
    pub dropped: u64,
    /// Attempts after a failed one, of any kind.
    pub retries: u64,
    /// Requests of any kind.
    pub requests: u64,
    /// Creations that the application requested.
    pub requested: u64,
    /// Creations that were sent.
    pub creates: u64,
    /// Sandboxes that were never killed and have no owner.
    pub left: u64,
    /// Returned sandboxes that were dead from the start.
    pub zombies: u64,
    /// When the fault ended, since the run began.
    pub fault_ends: Option<Duration>,
}

/// The window of calls for a recovery.
const WINDOW: Duration = Duration::from_secs(10);
/// How many of the slowest calls are reported.
const SLOWEST: usize = 20;

impl QueryResult {
    pub(crate) fn new(
        ended: &Ended<(Processed, Vec<Spent>)>,
        began: sandtower::core::Tick,
        caller: Caller,
    ) -> Self {
        let (processed, spent) = &ended.output;
        let call = Call {
            meant: ended.arrival.meant.since(began),
            took: ended.took(),
            ending: processed.ending,
            late: ended.is_late(),
        };
        let last = processed.last.as_ref().filter(|_| processed.ending != Ending::Succeeded);
        Self {
            user: ended.arrival.user,
            number: ended.arrival.number,
            tenant: caller.tenant,
            call,
            done: processed.done,
            failures: processed.failures,
            error: last.map(|failure| failure.text.clone()),
            breaker: processed.breaker,
            spent: spent.clone(),
        }
    }

    /// How long it took from the first request for a sandbox until code ran in one.
    pub fn first_sandbox(&self) -> Duration {
        let parts = self.spent.iter().skip_while(|spent| spent.what == Part::Thinking);
        let before = parts.take_while(|spent| spent.what != Part::Running);
        Duration::from_secs_f64(before.map(|spent| spent.ms / 1e3).sum())
    }

    /// In a queue, and before another attempt.
    fn waited(&self) -> Duration {
        let waits = self.spent.iter().filter(|it| matches!(it.what, Part::Queued | Part::Backoff));
        Duration::from_secs_f64(waits.map(|spent| spent.ms / 1e3).sum())
    }

    fn outcome(&self) -> String {
        match (&self.error, self.call.ending) {
            (None, _) => "succeeded".to_owned(),
            (Some(error), Ending::Rejected) => format!("rejected: {error}"),
            (Some(error), _) => format!("failed: {error}"),
        }
    }
}

impl Outcome {
    /// Queries that succeeded.
    pub fn completed(&self) -> usize {
        self.results.iter().filter(|result| result.error.is_none()).count()
    }

    /// Executions that succeeded.
    pub fn done_executions(&self) -> u32 {
        self.results.iter().map(|result| result.done).sum()
    }

    /// Executions that finally failed.
    pub fn failed_executions(&self) -> u32 {
        self.results.iter().map(|result| result.failures).sum()
    }

    /// Creations sent per creation requested.
    pub fn amplification(&self) -> f64 {
        self.creates as f64 / self.requested.max(1) as f64
    }

    /// The longest query, successful or not.
    pub fn longest(&self) -> Duration {
        self.results.iter().map(|result| result.call.took).max().unwrap_or_default()
    }

    /// The share of its executions that succeeded.
    pub fn success(&self) -> f64 {
        let [done, failed] = [self.done_executions(), self.failed_executions()].map(f64::from);
        done / (done + failed).max(1.0)
    }

    /// Its calls, for statistics.
    pub fn calls(&self) -> Vec<Call> {
        self.results.iter().map(|result| result.call).collect()
    }

    /// Its figures.
    pub fn figures(&self) -> SeedFigures {
        let calls = self.calls();
        let recovered = self.fault_ends.and_then(|end| recovery(&calls, end, WINDOW));
        let figures = Figures {
            scenario: self.scenario.clone(),
            policy: self.policy.name().to_owned(),
            clock: self.clock.to_owned(),
            seeds: 1,
            dropped: self.dropped as f64,
            attempts: self.requests as f64,
            amplification: self.amplification(),
            executions_done: self.done_executions().into(),
            executions_failed: self.failed_executions().into(),
            retries: self.retries as f64,
            leaked_sandboxes: self.left as f64,
            zombies_handed_out: self.zombies as f64,
            recovery_ms: recovered.map(ms),
            tenants: self.tenants(),
            ..Figures::of(&calls)
        };
        SeedFigures { seed: self.seed, figures }
    }

    fn tenants(&self) -> Option<Tenants> {
        let call = |result: &QueryResult| {
            let call = result.call;
            Some(TenantCall { tenant: result.tenant?, call, waited: result.waited() })
        };
        let calls: Vec<_> = self.results.iter().filter_map(call).collect();
        (!self.offered.is_empty()).then(|| Tenants::of(GREEDY, &self.offered, &calls))
    }

    pub(crate) fn queries(&self) -> Vec<Query> {
        let query = |result: &QueryResult| Query {
            user: result.user,
            number: u32::try_from(result.number).unwrap_or(u32::MAX),
            took_ms: ms(result.call.took),
            outcome: result.outcome(),
            failures: result.failures,
        };
        self.results.iter().filter(|_| self.closed).map(query).collect()
    }

    pub(crate) fn slowest(&self) -> Vec<SlowCall> {
        let mut results: Vec<_> = self.results.iter().collect();
        results.sort_by_key(|result| std::cmp::Reverse(result.call.took));
        let slow = |result: &&QueryResult| SlowCall {
            start_ms: ms(result.call.meant),
            took_ms: ms(result.call.took),
            outcome: result.outcome(),
            parts: result.spent.clone(),
        };
        results.iter().take(SLOWEST).map(slow).collect()
    }
}
