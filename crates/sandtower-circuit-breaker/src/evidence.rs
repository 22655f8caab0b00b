use std::time::Duration;

use sandtower_core::{About, Completion, Outcome, RequestInfo};

/// What the outcome of an attempt tells of the service's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It responded. That it declines (401, 403, 404, out of slots) is a response too: a service that
    /// is down does not check keys.
    Alive,
    /// It failed, or kept its caller waiting for too long.
    Failed,
    /// It asks for fewer calls. That is the work of a limiter and never trips; but a service that
    /// cannot take one probe is not ready for all callers.
    Throttled,
    /// Nothing was learnt: it was not called, or had no time to respond.
    Nothing,
}

impl Evidence {
    /// What an attempt of `request` tells of a service that is expected to respond within `expected`.
    pub(crate) fn of(request: &RequestInfo, done: &Completion, expected: Duration) -> Self {
        let verdict = &done.verdict;
        if verdict.about == About::Caller {
            return Self::Nothing;
        }
        match verdict.outcome {
            Outcome::Success | Outcome::Exhausted | Outcome::Permanent => Self::Alive,
            Outcome::Throttled => Self::Throttled,
            // Code, commands and watches take as long as their callers let them.
            Outcome::Cancelled if !request.open_ended && done.took() >= expected => Self::Failed,
            _ if verdict.is_failure() => Self::Failed,
            // One thing in it failed, and it was the service that said so.
            Outcome::Transient | Outcome::Unknown => Self::Alive,
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtower_core::{Effect, Tick, Verdict};

    const EXPECTED: Duration = Duration::from_secs(60);

    fn after(took: Duration, verdict: Verdict) -> Evidence {
        after_of(&RequestInfo::default(), took, verdict)
    }

    fn after_of(request: &RequestInfo, took: Duration, verdict: Verdict) -> Evidence {
        let sent = Tick::from_nanos(5);
        Evidence::of(request, &Completion::new(verdict, sent, sent + took), EXPECTED)
    }

    #[test]
    fn a_response_says_the_same_however_long_it_took() {
        for took in [Duration::ZERO, EXPECTED * 2] {
            assert_eq!(after(took, Verdict::success()), Evidence::Alive);
            assert_eq!(after(took, Verdict::permanent()), Evidence::Alive);
            assert_eq!(after(took, Verdict::exhausted()), Evidence::Alive);
            assert_eq!(after(took, Verdict::transient(Effect::None)), Evidence::Failed);
            assert_eq!(after(took, Verdict::transient(Effect::Maybe)), Evidence::Failed);
            assert_eq!(after(took, Verdict::unknown()), Evidence::Failed);
            assert_eq!(after(took, Verdict::unknown().about_one()), Evidence::Alive);
            assert_eq!(after(took, Verdict::throttled()), Evidence::Throttled);
            assert_eq!(after(took, Verdict::rejected()), Evidence::Nothing);
            for of_the_caller in [
                Verdict::transient(Effect::None),
                Verdict::permanent(),
                Verdict::unknown(),
                Verdict::cancelled(),
            ] {
                assert_eq!(after(took, of_the_caller.about_caller()), Evidence::Nothing);
            }
        }
    }

    #[test]
    fn a_cancelled_attempt_is_a_failure_once_it_outlived_the_expected_time() {
        let early = EXPECTED - Duration::from_nanos(1);
        assert_eq!(after(early, Verdict::cancelled()), Evidence::Nothing);
        assert_eq!(after(EXPECTED, Verdict::cancelled()), Evidence::Failed);
    }
    #[test]
    fn the_end_that_the_caller_chose_for_an_open_ended_call_is_no_evidence() {
        let request = RequestInfo::default().open_ended(true);
        for took in [Duration::ZERO, EXPECTED, EXPECTED * 1_000, Duration::MAX] {
            assert_eq!(after_of(&request, took, Verdict::cancelled()), Evidence::Nothing);
        }
        assert_eq!(after_of(&request, EXPECTED, Verdict::unknown()), Evidence::Failed);
    }
}
