//! The status line during a run, in the words of the application's own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sandtower::stack::Handles;

use super::Policy;
use super::books::Counts;
use super::load::Shape;
use super::policy::Look;
use super::run::Test;

/// One moment of one run.
#[derive(Clone, Debug)]
pub struct Status {
    /// The policy.
    pub policy: Policy,
    /// The seed.
    pub seed: u64,
    /// The progress, 0 to 1.
    pub progress: f64,
    /// Sandboxes in use.
    pub sandboxes: u64,
    /// The most sandboxes, where there is a limit.
    pub warm: Option<usize>,
    /// Executions that succeeded.
    pub executions: u64,
    /// Executions that finally failed.
    pub failures: u64,
    /// Attempts after a failed one.
    pub retries: u64,
    /// Queued calls.
    pub waiting: u64,
    /// Executions that were rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The breaker's state, if there is one.
    pub breaker: Option<&'static str>,
}

impl Status {
    pub(crate) fn new(
        test: &Test<'_>,
        at: Duration,
        ended: u64,
        look: &Look,
        books: &Counts,
    ) -> Self {
        let load = &test.setup.load;
        Self {
            policy: test.policy,
            seed: test.seed,
            progress: load.progress(ended, at),
            sandboxes: books.sandboxes,
            warm: match load.shape {
                Shape::Users { warm, .. } => Some(warm),
                Shape::Rate { .. } => None,
            },
            executions: books.done,
            failures: books.failed,
            retries: look.retries,
            waiting: look.waiting + books.waiting,
            rejected: books.rejected.clone(),
            breaker: look.breaker,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sandboxes: {}", self.sandboxes)?;
        if let Some(warm) = self.warm {
            write!(f, "/{warm}")?;
        }
        let Self { executions, failures, retries, waiting, .. } = self;
        write!(f, " | Executions: {executions} | Failures: {failures} | Retries: {retries}")?;
        write!(f, " | Waiting: {waiting}")?;
        if !self.rejected.is_empty() {
            let each = self.rejected.iter().map(|(reason, count)| format!("{count} {reason}"));
            write!(f, " | Rejected: {}", each.collect::<Vec<_>>().join(", "))?;
        }
        match self.breaker {
            Some(breaker) => write!(f, " | Breaker: {breaker}"),
            None => Ok(()),
        }
    }
}

/// Observes a run.
pub trait Watch {
    /// Twice a second on the run's own clock.
    fn look(&mut self, status: &Status);

    /// The run has ended like this.
    fn over(&mut self, status: &Status);

    /// The run is over the stack that has these handles.
    fn stack(&mut self, _handles: &Handles) {}
}

/// No observer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn look(&mut self, _status: &Status) {}

    fn over(&mut self, _status: &Status) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_words_of_the_application_and_more() {
        let mut status = Status {
            policy: Policy::Classic,
            seed: 1,
            progress: 0.5,
            sandboxes: 1,
            warm: Some(10),
            executions: 10,
            failures: 22,
            retries: 44,
            waiting: 3,
            rejected: BTreeMap::new(),
            breaker: None,
        };
        assert_eq!(
            status.to_string(),
            "Sandboxes: 1/10 | Executions: 10 | Failures: 22 | Retries: 44 | Waiting: 3"
        );
        status.warm = None;
        status.rejected.extend([("open", 2), ("no_time", 1)]);
        status.breaker = Some("half_open");
        assert_eq!(
            status.to_string(),
            "Sandboxes: 1 | Executions: 10 | Failures: 22 | Retries: 44 | Waiting: 3 | \
             Rejected: 1 no_time, 2 open | Breaker: half_open"
        );
    }
}
