//! What a call remembers once an attempt has failed.

use sandtower_core::{Attempt, BoxError, Outcome, RequestInfo, Rng, Tick, Verdict};

use crate::decide::{Decision, Progress, Stop, final_word};
use crate::gave_up::GaveUp;
use crate::handle::Handle;

#[derive(Debug)]
pub(crate) struct History {
    /// The attempt that is under way, or was the last.
    pub(crate) attempt: Attempt,
    progress: Progress,
    rng: Rng,
    /// The error of the last attempt that was answered by one.
    pub(crate) last_error: Option<BoxError>,
}

impl History {
    pub(crate) fn new(info: &RequestInfo, now: Tick, rng: Rng) -> Self {
        let attempt = Attempt::first(info.arrived.unwrap_or(now));
        Self { attempt, progress: Progress::default(), rng, last_error: None }
    }

    /// What to do after `verdict`. It is not counted before [`count`](Self::count).
    pub(crate) fn decide(
        &mut self,
        handle: &Handle,
        info: &RequestInfo,
        verdict: &Verdict,
        now: Tick,
        has_copy: bool,
    ) -> Decision {
        if !has_copy {
            // Without a copy, it would pay for a retry that cannot be made.
            return Decision::Stop(final_word(info, verdict).unwrap_or(Stop::SentOnce));
        }
        self.progress.decide(handle.config(), info, verdict, now, &mut self.rng)
    }

    /// Counts and tells what was decided.
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
    }

    /// Moves on to the attempt after one that ended in `outcome`.
    pub(crate) fn next(&mut self, outcome: Outcome) {
        self.attempt = self.attempt.next(outcome);
    }

    /// Whether this is not the first attempt.
    pub(crate) fn has_failed(&self) -> bool {
        self.attempt.last.is_some()
    }

    /// The error for a caller whose last answer was given up. `attempt` is the one that was not sent.
    pub(crate) fn gave_up(&mut self, rejection: Option<BoxError>) -> BoxError {
        let attempts = self.attempt.number.saturating_sub(1);
        let last = self.attempt.last.unwrap_or(Outcome::Unknown);
        let last_error = self.last_error.take();
        match rejection {
            Some(rejection) => GaveUp::rejected(rejection, attempts, last, last_error).into(),
            None => GaveUp::too_late(attempts, last, last_error).into(),
        }
    }
}

fn tell(info: &RequestInfo, attempt: u32, verdict: &Verdict, decision: Decision) {
    const TARGET: &str = "sandtower::retry";
    let (operation, outcome) = (info.operation.name(), verdict.outcome.label());
    match decision {
        Decision::Stop(Stop::Success) => {
            tracing::info!(target: TARGET, operation, attempt, "succeeded after retries");
        }
        Decision::Stop(stop) => {
            let why = stop.label();
            tracing::warn!(target: TARGET, operation, attempt, outcome, why, "gave up");
        }
        Decision::Again => {
            tracing::info!(target: TARGET, operation, attempt, outcome, "back to the waiting room");
        }
        Decision::After(wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(target: TARGET, operation, attempt, outcome, wait_ms, "retrying");
        }
    }
}
