//! What a report is made of: plain data, the same in memory and in `report.json`.
//!
//! Times are milliseconds or seconds, as their names say, and fractions are kept. What is not known
//! is `None`: a policy without a breaker has no state of one.

use serde::{Deserialize, Serialize};

/// A whole load test: the policies side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One for each policy and scenario, in the order in which they ran.
    pub policies: Vec<PolicyReport>,
}

/// What one policy came to in one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The median over all seeds, of each figure for itself.
    #[serde(flatten)]
    pub median: Figures,
    /// The seed that went worst: least success, then most sandboxes leaked, then the highest p99.
    pub worst: SeedFigures,
    /// Every seed, in order.
    pub runs: Vec<SeedFigures>,
    /// The worst seed over time.
    pub series: Vec<Row>,
    /// The slowest calls of the worst seed, slowest first.
    pub slowest: Vec<SlowCall>,
    /// The queries of the worst seed, if users asked any: by user, then by number.
    pub queries: Vec<Query>,
}

/// What is counted and measured of a run, or the median of several runs.
///
/// A call is what the caller asked for: a user's query in a closed loop, an arrival in an open one.
/// Latencies count from when the call was meant to start, over the calls that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What the service did.
    pub scenario: String,
    /// What stood before it.
    pub policy: String,
    /// `virtual` or `real`.
    pub clock: String,
    /// Runs, each with a seed of its own.
    pub seeds: u64,
    /// Calls that were started.
    pub calls: f64,
    /// Calls that succeeded.
    pub succeeded: f64,
    /// Calls that ended in an error of the service, or without an answer.
    pub failed: f64,
    /// Calls that ended in a rejection of our own: open, queue full, too late.
    pub rejected: f64,
    /// Arrivals that were never started, for too many were in flight.
    pub dropped: f64,
    /// Calls that started later than they were meant to.
    pub late: f64,
    /// Requests sent, of any kind.
    pub attempts: f64,
    /// Creations sent over creations asked for; probes, look-ups and kills are none.
    pub amplification: f64,
    /// Executions of code that ended well; a call may take several.
    pub executions_done: f64,
    /// Executions of code that failed for good.
    pub executions_failed: f64,
    /// Attempts after one that failed, of any kind.
    pub retries: f64,
    /// Half of the calls that succeeded took no longer; `None` if none did, as for the next three.
    pub p50_ms: Option<f64>,
    /// Nine in ten.
    pub p90_ms: Option<f64>,
    /// Ninety-nine in a hundred.
    pub p99_ms: Option<f64>,
    /// The longest of those that succeeded.
    pub max_ms: Option<f64>,
    /// From the first start to the last end.
    pub makespan_ms: f64,
    /// Calls that succeeded, a second of the makespan.
    pub goodput_per_s: f64,
    /// Sandboxes that ran, or ran out their whole lifetime, when no caller held them.
    pub leaked_sandboxes: f64,
    /// Sandboxes given to a caller that were dead from the start.
    pub zombies_handed_out: f64,
    /// From the end of the fault until 95 % of the calls started in the next window succeed; `None`
    /// if there was no fault that ended, or it never happened.
    pub recovery_ms: Option<f64>,
}

/// The figures of one seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedFigures {
    /// Where all chance of the run came from.
    pub seed: u64,
    /// What came of it.
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
    /// Calls in line at the end of the slice.
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
    /// Its time in order, from start to end; what `parts` leaves out is nowhere.
    pub parts: Vec<Spent>,
}

/// A piece of a call's time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// On what.
    pub what: Part,
    /// How long.
    pub ms: f64,
}

/// On what the time of a call goes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The caller's own work: an agent thinks.
    #[default]
    Thinking,
    /// It waits for its turn.
    InLine,
    /// A request to create a sandbox is out.
    Attempt,
    /// It waits before the next attempt.
    Backoff,
    /// A sandbox that was handed out is checked.
    Check,
    /// Code runs in its sandbox.
    Running,
    /// Anything else: a look-up, a kill.
    Other,
}

impl Part {
    /// All parts, in the order of a legend.
    pub const ALL: [Self; 7] = [
        Self::Thinking,
        Self::InLine,
        Self::Attempt,
        Self::Backoff,
        Self::Check,
        Self::Running,
        Self::Other,
    ];

    /// What a person reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::InLine => "in line",
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
    /// Whose, from 1.
    pub user: u32,
    /// Which of theirs, from 1.
    pub number: u32,
    /// From the question to the answer.
    pub took_ms: f64,
    /// `answered`, or `gave up: <the last error>`.
    pub outcome: String,
    /// Executions that failed on the way.
    pub failures: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let figures = Figures { policy: "p".into(), recovery_ms: Some(0.5), ..Figures::default() };
        let policy = PolicyReport {
            median: figures.clone(),
            worst: SeedFigures { seed: 7, figures },
            slowest: vec![SlowCall {
                parts: vec![Spent { what: Part::InLine, ms: 1.5 }],
                ..SlowCall::default()
            }],
            ..PolicyReport::default()
        };
        let report = Report { policies: vec![policy] };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn the_figures_stand_beside_what_they_are_of() {
        let value = serde_json::to_value(PolicyReport::default()).unwrap();
        for key in ["scenario", "policy", "calls", "p99_ms", "leaked_sandboxes", "recovery_ms"] {
            assert!(value.get(key).is_some(), "{key}");
            assert!(value["worst"].get(key).is_some(), "worst.{key}");
        }
        assert!(value["worst"].get("seed").is_some());
    }
}
