//! The data of a report: the same in memory and in `report.json`.
//!
//! Times are milliseconds or seconds, as their names say, with fractions. Unknown values are `None`: a policy
//! without a breaker has no breaker state.

use serde::{Deserialize, Serialize};

/// A whole load test: the policies side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One for each policy and scenario, in the order in which they ran.
    pub policies: Vec<PolicyReport>,
}

/// The results of one policy in one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The median over all seeds, of each figure on its own.
    #[serde(flatten)]
    pub median: Figures,
    /// The worst seed: least success, then most sandboxes leaked, then the highest p99.
    pub worst: SeedFigures,
    /// Every seed, in order.
    pub runs: Vec<SeedFigures>,
    /// The worst seed over time.
    pub series: Vec<Row>,
    /// The slowest calls of the worst seed, slowest first.
    pub slowest: Vec<SlowCall>,
    /// The queries of the worst seed, if users sent any: by user, then by number.
    pub queries: Vec<Query>,
}

/// The counts and measurements of a run, or the median of several runs.
///
/// A call is a request of the caller: a user's query in a closed loop, an arrival in an open one.
/// Latencies count from when the call was meant to start, over the calls that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The name of the scenario.
    pub scenario: String,
    /// The name of the policy.
    pub policy: String,
    /// `virtual` or `real`.
    pub clock: String,
    /// The number of runs, each with its own seed.
    pub seeds: u64,
    /// Calls that were started.
    pub calls: f64,
    /// Calls that succeeded.
    pub succeeded: f64,
    /// Calls that ended with an error of the service, or without a response.
    pub failed: f64,
    /// Calls that ended with a rejection by one of our layers: open, queue full, too late.
    pub rejected: f64,
    /// Arrivals that were never started, because too many were in flight.
    pub dropped: f64,
    /// Calls that started later than they were meant to.
    pub late: f64,
    /// Requests sent, of any kind.
    pub attempts: f64,
    /// Creations sent per creation requested; probes, look-ups and kills do not count.
    pub amplification: f64,
    /// Executions of code that succeeded; a call may need several.
    pub executions_done: f64,
    /// Executions of code that finally failed.
    pub executions_failed: f64,
    /// Attempts after a failed one, of any kind.
    pub retries: f64,
    /// The median of the calls that succeeded; `None` if none did, as for the next three.
    pub p50_ms: Option<f64>,
    /// The 90th percentile.
    pub p90_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// The longest call that succeeded.
    pub max_ms: Option<f64>,
    /// From the first start to the last end.
    pub makespan_ms: f64,
    /// Calls that succeeded, per second of the makespan.
    pub goodput_per_s: f64,
    /// Sandboxes that ran, or ran until the end of their lifetime, without an owner.
    pub leaked_sandboxes: f64,
    /// Sandboxes returned to a caller that were dead from the start.
    pub zombies_handed_out: f64,
    /// From the end of the fault until 95 % of the calls started in the next window succeed; `None` if no
    /// fault ended, or it never happened.
    pub recovery_ms: Option<f64>,
    /// What a greedy tenant costs the others; `None` if the load has no tenants.
    pub tenants: Option<Tenants>,
}

/// What a tenant that offers far more than its share costs the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenants {
    /// Of the others: the least that one was served, as a share of what it offered.
    pub others_throughput_worst: f64,
    /// The 99th percentile of the others' waits, over their calls that succeeded, divided by the median of
    /// the rest of these calls' time; `None` if none succeeded.
    pub others_wait_p99_ratio: Option<f64>,
    /// What the greedy tenant was served, as a share of what it offered.
    pub greedy_throughput: f64,
    /// Jain's index of the others' throughputs: 1 if all are equal, `1/n` if one of `n` has everything.
    pub jain: f64,
}

/// The figures of one seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedFigures {
    /// The seed of the run.
    pub seed: u64,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One slice of time: a second, or a hundredth of the run if that is longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Where the slice begins, in seconds since the run began.
    pub t_s: f64,
    /// Calls that were meant to start in it.
    pub offered: u64,
    /// Calls that succeeded in it.
    pub succeeded: u64,
    /// Calls that failed in it.
    pub failed: u64,
    /// Calls that were rejected in it.
    pub rejected: u64,
    /// Of the calls that succeeded in it, if any did.
    pub p50_ms: Option<f64>,
    /// As `p50_ms`.
    pub p99_ms: Option<f64>,
    /// As `p50_ms`.
    pub max_ms: Option<f64>,
    /// The breaker at the end of the slice: `closed`, `open`, `half_open`.
    pub breaker: Option<String>,
    /// The limit of creations in flight at the end of the slice.
    pub limit: Option<u64>,
    /// Creations in flight at the end of the slice.
    pub in_flight: u64,
    /// Queued calls at the end of the slice.
    pub waiting: u64,
}

/// One of the slowest calls, and where its time went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowCall {
    /// When it was meant to start, since the run began.
    pub start_ms: f64,
    /// How long it took.
    pub took_ms: f64,
    /// `succeeded`, `rejected: <reason>`, `failed: <error>`.
    pub outcome: String,
    /// Its time in order, from start to end; time that `parts` leaves out is unaccounted for.
    pub parts: Vec<Spent>,
}

/// A piece of a call's time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The kind of work.
    pub what: Part,
    /// The duration.
    pub ms: f64,
}

/// What a call spends its time on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The caller's own work: an agent thinks.
    #[default]
    Thinking,
    /// Waiting in the queue.
    Queued,
    /// A request to create a sandbox is in flight.
    Attempt,
    /// Waiting before the next attempt.
    Backoff,
    /// A new sandbox is checked.
    Check,
    /// Code runs in the sandbox.
    Running,
    /// Anything else: a look-up, a kill.
    Other,
}

impl Part {
    /// All parts, in the order of a legend.
    pub const ALL: [Self; 7] = [
        Self::Thinking,
        Self::Queued,
        Self::Attempt,
        Self::Backoff,
        Self::Check,
        Self::Running,
        Self::Other,
    ];

    /// The label in reports.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::Queued => "queued",
            Self::Attempt => "attempt",
            Self::Backoff => "backoff",
            Self::Check => "check",
            Self::Running => "running code",
            Self::Other => "other",
        }
    }
}

/// One query of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The user, from 1.
    pub user: u32,
    /// The number among the user's queries, from 1.
    pub number: u32,
    /// From the query to its result.
    pub took_ms: f64,
    /// `succeeded`, `rejected: <reason>`, or `failed: <the last error>`.
    pub outcome: String,
    /// Executions that failed on the way.
    pub failures: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let tenants = Some(Tenants { jain: 0.5, ..Tenants::default() });
        let figures =
            Figures { policy: "p".into(), recovery_ms: Some(0.5), tenants, ..Figures::default() };
        let policy = PolicyReport {
            median: figures.clone(),
            worst: SeedFigures { seed: 7, figures },
            slowest: vec![SlowCall {
                parts: vec![Spent { what: Part::Queued, ms: 1.5 }],
                ..SlowCall::default()
            }],
            ..PolicyReport::default()
        };
        let report = Report { policies: vec![policy] };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn figures_are_fields_of_their_policy() {
        let value = serde_json::to_value(PolicyReport::default()).unwrap();
        for key in
            ["scenario", "policy", "calls", "p99_ms", "leaked_sandboxes", "recovery_ms", "tenants"]
        {
            assert!(value.get(key).is_some(), "{key}");
            assert!(value["worst"].get(key).is_some(), "worst.{key}");
        }
        assert!(value["worst"].get("seed").is_some());
    }
}
