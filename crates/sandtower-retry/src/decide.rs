//! Whether and when to send another attempt: a pure decision with its reason.

use std::time::Duration;

use sandtower_core::{Advice, Backoff, Effect, Outcome, Replay, RequestInfo, Rng, Tick, Verdict};

use crate::config::{Config, WhenThrottled};

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call ends with this response.
    Stop(Stop),
    /// Another attempt at once.
    Again,
    /// Another attempt after so long.
    After(Duration),
}

/// Why a call ends with the response it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// It succeeded.
    Success,
    /// Reconciliation found that the work had been done.
    Adopted,
    /// Another attempt would get the same response.
    Permanent,
    /// The service asked for no further attempt.
    Advised,
    /// All attempts were made.
    OutOfAttempts,
    /// The wait before the next attempt does not fit before the caller's deadline or within
    /// [`max_elapsed`](crate::Config::max_elapsed), or is longer than the config allows.
    OutOfTime,
    /// The budget is empty: most calls fail, and more attempts would make it worse.
    OutOfBudget,
    /// The attempt may have had an effect, and the request is not safe to replay.
    UnsafeToReplay,
    /// The request cannot be sent again.
    SentOnce,
    /// The service has no slot left, and waiting does not help.
    Exhausted,
    /// The caller's own side failed, such as its request body: see
    /// [`CallerError`](sandtower_core::CallerError).
    Cancelled,
    /// A layer below rejected the attempt: waiting is up to that layer.
    Rejected,
}

impl Stop {
    pub(crate) const COUNT: usize = Self::Rejected as usize + 1;

    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Adopted => "adopted",
            Self::Permanent => "permanent",
            Self::Advised => "advised",
            Self::OutOfAttempts => "out_of_attempts",
            Self::OutOfTime => "out_of_time",
            Self::OutOfBudget => "out_of_budget",
            Self::UnsafeToReplay => "unsafe_to_replay",
            Self::SentOnce => "sent_once",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }
}

/// The progress of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Retries that were counted. Also the number of the next one in its schedule.
    pub retries: u32,
    /// Times it went back to the queue below, which count as no attempt.
    pub returns: u32,
    /// When it was first sent back for want of a slot.
    pub without_slot_since: Option<Tick>,
}

/// Returns of one call, beyond which nothing below appears to hold it.
const RETURNS: u32 = 10;
/// A call that waits for a slot returns whenever a probe finds none: one more return is allowed per this
/// interval. If it returns more often, no queue below holds calls, and each return is one more request.
const ONE_MORE_EACH: Duration = Duration::from_secs(10);

/// Servers round `Retry-After` down to whole seconds: up to this much is added, which also keeps callers
/// with the same `Retry-After` apart.
const FLOORED: Duration = Duration::from_secs(1);

impl Progress {
    /// What to do after an attempt that got `verdict`. Counts what it decides, and pays for it.
    ///
    /// `can_resend` is called only when everything else allows another attempt: it copies the request.
    pub fn decide(
        &mut self,
        config: &Config,
        info: &RequestInfo,
        verdict: &Verdict,
        now: Tick,
        rng: &mut Rng,
        can_resend: impl FnOnce() -> bool,
    ) -> Decision {
        if let Some(stop) = final_word(info, verdict) {
            return Decision::Stop(stop);
        }
        let held = match verdict.outcome {
            Outcome::Throttled => config.held_below.is_held(),
            outcome => outcome == Outcome::Exhausted,
        };
        let is_failure = matches!(verdict.outcome, Outcome::Transient | Outcome::Unknown);
        if is_failure && config.outage.is_held(info) {
            return match info.deadline.is_some_and(|deadline| now >= deadline) {
                true => Decision::Stop(Stop::OutOfTime),
                false => self.requeue(Outcome::Exhausted, now, can_resend),
            };
        }
        let own = config.of(info.operation);
        let last = last_instant(info, config.longest(&own));
        if held && config.when_throttled == WhenThrottled::Requeue {
            if last.is_some_and(|last| now >= last) {
                return Decision::Stop(Stop::OutOfTime);
            }
            return self.requeue(verdict.outcome, now, can_resend);
        }
        if self.retries + 1 >= own.attempts.unwrap_or(config.attempts).get() {
            return Decision::Stop(Stop::OutOfAttempts);
        }
        let schedule = match verdict.outcome {
            Outcome::Exhausted => return Decision::Stop(Stop::Exhausted),
            Outcome::Throttled => own.after_throttled().unwrap_or(config.throttled),
            Outcome::Transient => own.after_transient().unwrap_or(config.transient),
            _ => own.after_unknown().unwrap_or(config.unknown),
        };
        let wait = self.wait(config, schedule, verdict, rng);
        let last = [info.deadline, last].into_iter().flatten().min();
        let fits = |wait: &Duration| last.is_none_or(|last| now + *wait < last);
        let Some(wait) = wait.filter(fits) else {
            return Decision::Stop(Stop::OutOfTime);
        };
        if !can_resend() {
            return Decision::Stop(Stop::SentOnce);
        }
        // Last: nothing is withdrawn for a retry that is not sent.
        if !config.budget.as_ref().is_none_or(|b| b.withdraw(info.scope, verdict.outcome, now)) {
            return Decision::Stop(Stop::OutOfBudget);
        }
        self.retries += 1;
        Decision::After(wait)
    }

    fn requeue(
        &mut self,
        outcome: Outcome,
        now: Tick,
        can_resend: impl FnOnce() -> bool,
    ) -> Decision {
        if outcome == Outcome::Exhausted {
            self.without_slot_since.get_or_insert(now);
        }
        let waited = self.without_slot_since.map_or(Duration::ZERO, |since| now.since(since));
        let more = u32::try_from(waited.as_secs() / ONE_MORE_EACH.as_secs()).unwrap_or(u32::MAX);
        if self.returns >= RETURNS.saturating_add(more) {
            return Decision::Stop(Stop::OutOfAttempts);
        }
        if !can_resend() {
            return Decision::Stop(Stop::SentOnce);
        }
        self.returns += 1;
        Decision::Again
    }

    /// `None`: longer than the config allows.
    fn wait(
        &self,
        config: &Config,
        schedule: Backoff,
        verdict: &Verdict,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let Some(asked_for) = verdict.retry_after else {
            return Some(schedule.jitter().delay(self.retries, rng));
        };
        if asked_for > config.longest_retry_after {
            return None;
        }
        Some(asked_for.saturating_add(Backoff::constant(FLOORED).full_jitter().delay(0, rng)))
    }
}

/// When the last retry may begin, `longest` after the call's arrival; `None`: there is no such limit.
fn last_instant(info: &RequestInfo, longest: Duration) -> Option<Tick> {
    let arrived = info.arrived.filter(|_| longest < Duration::MAX)?;
    Some(arrived + longest)
}

/// Why no further attempt would be right, whatever the configuration.
fn final_word(info: &RequestInfo, verdict: &Verdict) -> Option<Stop> {
    match verdict.outcome {
        Outcome::Success => return Some(Stop::Success),
        Outcome::Rejected => return Some(Stop::Rejected),
        Outcome::Cancelled => return Some(Stop::Cancelled),
        _ => {}
    }
    match verdict.advice {
        Some(Advice::Stop) => return Some(Stop::Advised),
        None if verdict.outcome == Outcome::Permanent => return Some(Stop::Permanent),
        _ => {}
    }
    let harmless = verdict.effect == Effect::None || info.replay == Replay::Safe;
    (!harmless).then_some(Stop::UnsafeToReplay)
}

#[cfg(test)]
mod tests;
