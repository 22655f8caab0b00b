use std::time::Duration;

use sandtower_core::{Completion, Outcome};

/// What the outcome of an attempt tells of the service's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It answered as itself. A clear "no" (401, 403, 404, out of slots) is an answer too: a dead
    /// service does not check keys.
    Alive,
    /// It failed, or kept its caller waiting for too long.
    Failed,
    /// It asks for fewer calls. That is the work of a limiter and never trips; but a service that
    /// cannot take one probe is not ready for everyone.
    Throttled,
    /// Nothing was learnt: it was not asked, or had no time to answer.
    Nothing,
}

impl Evidence {
    /// What `settlement` tells of a service that is expected to answer within `expected`.
    pub(crate) fn of(settlement: &Completion, expected: Duration) -> Self {
        let took = settlement.now.since(settlement.sent);
        match settlement.verdict.outcome {
            Outcome::Success | Outcome::Exhausted | Outcome::Permanent => Self::Alive,
            Outcome::Throttled => Self::Throttled,
            Outcome::Cancelled if took >= expected => Self::Failed,
            _ if settlement.verdict.is_failure() => Self::Failed,
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
        let sent = Tick::from_nanos(5);
        Evidence::of(&Completion::new(verdict, sent, sent + took), EXPECTED)
    }

    #[test]
    fn an_answer_tells_the_same_however_long_it_took() {
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
        }
    }

    #[test]
    fn a_cancelled_attempt_is_a_failure_once_it_outlived_the_expected_time() {
        let early = EXPECTED - Duration::from_nanos(1);
        assert_eq!(after(early, Verdict::cancelled()), Evidence::Nothing);
        assert_eq!(after(EXPECTED, Verdict::cancelled()), Evidence::Failed);
    }
}
