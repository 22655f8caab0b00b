use std::time::Duration;

use super::stage::{CallStage, StageKind, Took};
use crate::Outcome;

/// The most stages that an [`Explanation`] lists. What a longer call did between the first of them and
/// the last is summed up.
pub const MOST_STAGES: usize = 16;

/// Where the time of one call went, and why: its stages, in order.
///
/// As text it is one line: `queue 2.1 s (rate limit), attempt 1 failed (503) after 0.4 s, backoff
/// 0.3 s, attempt 2 succeeded in 1.2 s`. It contains names, numbers and times: no key, no token, no
/// part of a request or of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    total: Duration,
    outcome: Outcome,
    stages: Stages,
    rest: Option<Box<Rest>>,
}

/// Most calls are one attempt: they need no list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stages {
    One([CallStage; 1]),
    Many(Vec<CallStage>),
}

/// What is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) stages: u32,
    pub(super) took: [Duration; StageKind::ALL.len()],
}

impl Explanation {
    pub(super) fn one(total: Duration, outcome: Outcome, stage: CallStage) -> Self {
        Self { total, outcome, stages: Stages::One([stage]), rest: None }
    }

    pub(super) fn many(
        total: Duration,
        outcome: Outcome,
        stages: Vec<CallStage>,
        rest: Option<Box<Rest>>,
    ) -> Self {
        Self { total, outcome, stages: Stages::Many(stages), rest }
    }

    /// The whole time of the call.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How the call ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What it did, in order: at most [`MOST_STAGES`].
    pub fn stages(&self) -> &[CallStage] {
        match &self.stages {
            Stages::One(one) => one,
            Stages::Many(many) => many,
        }
    }

    /// How many stages are not listed.
    pub fn unlisted(&self) -> u32 {
        self.rest.as_ref().map_or(0, |rest| rest.stages)
    }

    /// The time that the call spent in stages of one kind, including those that are not listed.
    pub fn time_in(&self, kind: StageKind) -> Duration {
        let listed = self.stages().iter().filter(|stage| stage.kind == kind);
        let listed: Duration = listed.map(|stage| stage.took).sum();
        listed + self.rest.as_ref().map_or(Duration::ZERO, |rest| rest.took[kind.index()])
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> u32 {
        let made = |stage: &&CallStage| stage.kind == StageKind::Attempt;
        self.stages().iter().filter(made).map(|stage| stage.attempt).max().unwrap_or(0)
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.stages();
        for (index, stage) in stages.iter().enumerate() {
            if let Some(rest) = &self.rest
                && index + 1 == stages.len()
            {
                let took = Took(rest.took.iter().sum());
                write!(f, ", {} more stages {took}", rest.stages)?;
            }
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{stage}")?;
        }
        Ok(())
    }
}
