//! What a person sees in the end.

use std::fmt;
use std::time::Duration;

use sandtower_sim::Sim;

use super::app::Query;

/// What one policy came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub policy: &'static str,
    /// What became of each query.
    pub queries: Vec<Query>,
    /// Attempts after a failed one, of any kind.
    pub retries: u64,
    /// Creations that the simulator was asked for.
    pub creates: u64,
    /// Sandboxes that were never killed: nobody knew of them.
    pub left: u64,
}

impl Outcome {
    /// Takes from the simulator what only it knows.
    pub(crate) fn count(&mut self, sim: &Sim) {
        let ledger = sim.ledger();
        self.creates = ledger.creates.received;
        self.left = ledger.active + ledger.expired;
    }

    /// Queries whose code was run.
    pub fn completed(&self) -> usize {
        self.queries.iter().filter(|query| query.gave_up.is_none()).count()
    }

    /// Executions that ended well.
    pub fn done_executions(&self) -> u32 {
        self.queries.iter().map(|query| query.done).sum()
    }

    /// Executions that failed for good.
    pub fn failed_executions(&self) -> u32 {
        self.queries.iter().map(|query| query.failures).sum()
    }

    /// Of all executions, in percent.
    pub fn success_rate(&self) -> f64 {
        let done = f64::from(self.done_executions());
        100.0 * done / (done + f64::from(self.failed_executions())).max(1.0)
    }

    /// The shortest, the middle and the longest query.
    fn times(&self) -> [Duration; 3] {
        let mut times: Vec<_> = self.queries.iter().map(|query| query.took).collect();
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        [at(0), at(times.len() / 2), at(times.len().saturating_sub(1))]
    }

    fn summary(&self) -> [String; 8] {
        let [shortest, middle, longest] = self.times().map(seconds);
        [
            format!("{} of {}", self.completed(), self.queries.len()),
            self.done_executions().to_string(),
            self.failed_executions().to_string(),
            format!("{:.0} %", self.success_rate()),
            self.retries.to_string(),
            self.creates.to_string(),
            self.left.to_string(),
            format!("{middle} ({shortest} to {longest})"),
        ]
    }

    fn last_error(&self) -> Option<String> {
        self.queries.iter().find_map(|query| query.gave_up.clone())
    }
}

const LABELS: [&str; 8] = [
    "queries answered",
    "executions done",
    "executions failed",
    "executions that succeed",
    "retries",
    "creations sent",
    "sandboxes left behind",
    "time of a query",
];

/// The policies side by side.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [Outcome]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes = self.0;
        let summaries: Vec<_> = outcomes.iter().map(Outcome::summary).collect();
        row(f, "", outcomes.iter().map(|outcome| outcome.policy.to_owned()))?;
        for (at, label) in LABELS.iter().enumerate() {
            row(f, label, summaries.iter().map(|summary| summary[at].clone()))?;
        }
        writeln!(f)?;
        row(f, "each query", outcomes.iter().map(|_| String::new()))?;
        let queries = outcomes.first().map_or(0, |outcome| outcome.queries.len());
        for at in 0..queries {
            let query = &outcomes[0].queries[at];
            let label = format!("  user {}, query {}", query.user, query.number);
            row(f, &label, outcomes.iter().map(|outcome| told(&outcome.queries[at])))?;
        }
        for outcome in outcomes {
            if let Some(error) = outcome.last_error() {
                writeln!(f, "\n{}: an agent gave up after: {error}", outcome.policy)?;
            }
        }
        Ok(())
    }
}

fn row(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    cells: impl Iterator<Item = String>,
) -> fmt::Result {
    let cells: String = cells.map(|cell| format!("{cell:>24}")).collect();
    writeln!(f, "{}", format!("{label:<26}{cells}").trim_end())
}

fn told(query: &Query) -> String {
    let took = seconds(query.took);
    match (&query.gave_up, query.failures) {
        (Some(_), _) => format!("gave up   {took}"),
        (None, 0) => took,
        (None, failures) => format!("{failures} failed   {took}"),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
