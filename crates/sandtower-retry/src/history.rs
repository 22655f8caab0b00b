//! The state of a call once an attempt has failed.

use std::time::Duration;

use sandtower_core::{Attempt, BoxError, Outcome, RequestInfo, Rng, Tick, Verdict};

use crate::decide::{Decision, Progress, Stop};
use crate::handle::Handle;
use crate::on_retry::RetryEvent;
use crate::retries_exhausted::RetriesExhausted;

#[derive(Debug)]
pub(crate) struct History {
    /// The current or last attempt.
    pub(crate) attempt: Attempt,
    progress: Progress,
    rng: Rng,
    /// The error of the last attempt that ended in one.
    pub(crate) last_error: Option<BoxError>,
}

impl History {
    pub(crate) fn new(arrived: Tick, rng: Rng) -> Self {
        let attempt = Attempt::first(arrived);
        Self { attempt, progress: Progress::default(), rng, last_error: None }
    }

    /// The decision after `verdict`. Not counted before [`count`](Self::count).
    pub(crate) fn decide(
        &mut self,
        handle: &Handle,
        info: &RequestInfo,
        verdict: &Verdict,
        now: Tick,
        can_resend: impl FnOnce() -> bool,
    ) -> Decision {
        self.progress.decide(handle.config(), info, verdict, now, &mut self.rng, can_resend)
    }

    /// Counts and logs the decision.
    pub(crate) fn count(
        &self,
        handle: &Handle,
        info: &RequestInfo,
        verdict: &Verdict,
        decision: Decision,
    ) {
        match decision {
            Decision::Stop(stop) => handle.stopped(stop),
            Decision::Again => handle.returned(),
            Decision::After(_) => handle.retried(),
        }
        tell(info, self.attempt.number, verdict, decision);
        let wait = match decision {
            Decision::Stop(_) => return,
            Decision::Again => Duration::ZERO,
            Decision::After(wait) => wait,
        };
        let (info, attempt, verdict) = (*info, self.attempt.number, *verdict);
        handle.on_retry(&RetryEvent { info, attempt, verdict, wait });
    }

    /// Moves on to the attempt after one that ended in `outcome`.
    pub(crate) fn next(&mut self, outcome: Outcome) {
        self.attempt = self.attempt.next(outcome);
    }

    /// Whether this is not the first attempt.
    pub(crate) fn has_failed(&self) -> bool {
        self.attempt.last.is_some()
    }

    /// The error for a caller whose last response was discarded. `attempt` is the one that was not sent.
    pub(crate) fn exhausted(&mut self, rejection: Option<BoxError>) -> BoxError {
        let attempts = self.attempt.number.saturating_sub(1);
        let last = self.attempt.last.unwrap_or(Outcome::Unknown);
        let last_error = self.last_error.take();
        match rejection {
            Some(rejection) => {
                RetriesExhausted::rejected(rejection, attempts, last, last_error).into()
            }
            None => RetriesExhausted::too_late(attempts, last, last_error).into(),
        }
    }
}

fn tell(info: &RequestInfo, attempt: u32, verdict: &Verdict, decision: Decision) {
    let (operation, outcome) = (info.operation.name(), verdict.outcome.label());
    match decision {
        Decision::Stop(Stop::Success) => {
            tracing::info!(target: crate::TARGET, operation, attempt, "succeeded after retries");
        }
        Decision::Stop(stop) => {
            let why = stop.label();
            tracing::warn!(target: crate::TARGET, operation, attempt, outcome, why, "not retrying");
        }
        Decision::Again => {
            tracing::info!(target: crate::TARGET, operation, attempt, outcome, "back to the queue");
        }
        Decision::After(wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(target: crate::TARGET, operation, attempt, outcome, wait_ms, "retrying");
        }
    }
}
