//! What one run came to.

use std::time::Duration;

use sandtower_load::{
    Call, Ended, Ending, Figures, Query, Sample, SeedFigures, SlowCall, Spent, ms, recovery,
};

use super::Policy;
use super::app::Answered;

/// One query, from the question to the answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose it was, from 1.
    pub user: u32,
    /// Which of theirs, from 1.
    pub number: u64,
    /// When and how.
    pub call: Call,
    /// Executions that ended well.
    pub done: u32,
    /// Executions that failed.
    pub failures: u32,
    /// Why there is no answer, if there is none.
    pub gave_up: Option<String>,
    /// What the breaker was when it came; `None`: there is none.
    pub breaker: Option<&'static str>,
    /// Where its time went.
    pub spent: Vec<Spent>,
}

/// What one policy came to with one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Which policy.
    pub policy: Policy,
    /// `virtual` or `real`.
    pub clock: &'static str,
    /// Where all chance came from.
    pub seed: u64,
    /// Every query, by user and number.
    pub answers: Vec<Answer>,
    /// Whether users asked them one after the other.
    pub closed: bool,
    /// What it looked like over time.
    pub samples: Vec<Sample>,
    /// Arrivals that were dropped.
    pub dropped: u64,
    /// Attempts after a failed one, of any kind.
    pub retries: u64,
    /// Requests of any kind.
    pub requests: u64,
    /// SandboxTracker that the application asked for.
    pub info: u64,
    /// SandboxTracker that were sent.
    pub creates: u64,
    /// Sandboxes that were never killed: nobody held them.
    pub left: u64,
    /// Sandboxes handed out that were dead from the start.
    pub zombies: u64,
    /// When the fault ended, since the run began.
    pub fault_ends: Option<Duration>,
}

/// Calls over which a recovery is looked for, from a moment on.
const WINDOW: Duration = Duration::from_secs(10);
/// How many of the slowest calls are told of.
const SLOWEST: usize = 20;

impl Answer {
    pub(crate) fn new(ended: &Ended<(Answered, Vec<Spent>)>, began: sandtower::core::Tick) -> Self {
        let (answered, spent) = &ended.answer;
        let call = Call {
            meant: ended.arrival.meant.since(began),
            took: ended.took(),
            ending: answered.ending,
            late: ended.is_late(),
        };
        let last = answered.last.as_ref().filter(|_| answered.ending != Ending::Succeeded);
        Self {
            user: ended.arrival.user,
            number: ended.arrival.number,
            call,
            done: answered.done,
            failures: answered.failures,
            gave_up: last.map(|failure| failure.text.clone()),
            breaker: answered.breaker,
            spent: spent.clone(),
        }
    }

    fn outcome(&self) -> String {
        match (&self.gave_up, self.call.ending) {
            (None, _) => "answered".to_owned(),
            (Some(error), Ending::Rejected) => format!("rejected: {error}"),
            (Some(error), _) => format!("gave up: {error}"),
        }
    }
}

impl Outcome {
    /// Queries that were answered.
    pub fn completed(&self) -> usize {
        self.answers.iter().filter(|answer| answer.gave_up.is_none()).count()
    }

    /// Executions that ended well.
    pub fn done_executions(&self) -> u32 {
        self.answers.iter().map(|answer| answer.done).sum()
    }

    /// Executions that failed for good.
    pub fn failed_executions(&self) -> u32 {
        self.answers.iter().map(|answer| answer.failures).sum()
    }

    /// SandboxTracker sent over creations asked for.
    pub fn amplification(&self) -> f64 {
        self.creates as f64 / self.info.max(1) as f64
    }

    /// The longest query, answered or not.
    pub fn longest(&self) -> Duration {
        self.answers.iter().map(|answer| answer.call.took).max().unwrap_or_default()
    }

    /// The share of its executions that ended well.
    pub fn success(&self) -> f64 {
        let [done, failed] = [self.done_executions(), self.failed_executions()].map(f64::from);
        done / (done + failed).max(1.0)
    }

    /// Its calls, for statistics.
    pub fn calls(&self) -> Vec<Call> {
        self.answers.iter().map(|answer| answer.call).collect()
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
            ..Figures::of(&calls)
        };
        SeedFigures { seed: self.seed, figures }
    }

    pub(crate) fn queries(&self) -> Vec<Query> {
        let query = |answer: &Answer| Query {
            user: answer.user,
            number: u32::try_from(answer.number).unwrap_or(u32::MAX),
            took_ms: ms(answer.call.took),
            outcome: answer.outcome(),
            failures: answer.failures,
        };
        self.answers.iter().filter(|_| self.closed).map(query).collect()
    }

    pub(crate) fn slowest(&self) -> Vec<SlowCall> {
        let mut answers: Vec<_> = self.answers.iter().collect();
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.call.took));
        let slow = |answer: &&Answer| SlowCall {
            start_ms: ms(answer.call.meant),
            took_ms: ms(answer.call.took),
            outcome: answer.outcome(),
            parts: answer.spent.clone(),
        };
        answers.iter().take(SLOWEST).map(slow).collect()
    }
}
