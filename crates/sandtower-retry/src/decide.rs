//! Whether and when to try again: a pure decision, with its reason.

use std::time::Duration;

use sandtower_core::{Advice, Backoff, Effect, Outcome, Replay, RequestInfo, Rng, Tick, Verdict};

use crate::config::{Config, WhenThrottled};

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call ends with this answer.
    Stop(Stop),
    /// Another attempt at once.
    Again,
    /// Another attempt after so long.
    After(Duration),
}

/// Why a call ends with the answer it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// It succeeded.
    Success,
    /// It was found that the work had been done after all.
    Adopted,
    /// Another attempt would get the same answer.
    Permanent,
    /// The service asked for no further attempt.
    Advised,
    /// All attempts were made.
    OutOfAttempts,
    /// The wait before the next attempt does not fit before the caller's deadline, or is longer
    /// than anyone should wait.
    OutOfTime,
    /// The budget is empty: most calls fail, and more attempts would make it worse.
    OutOfBudget,
    /// Something may have happened, and doing it twice would do harm.
    UnsafeToReplay,
    /// The request cannot be sent a second time.
    SentOnce,
    /// The service has no slot left, and time does not cure it.
    Exhausted,
    /// A layer below rejected: waiting is its business.
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
            Self::Rejected => "rejected",
        }
    }
}

/// How far a call has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Retries that were counted. Also the number of the next one in its schedule.
    pub retries: u32,
    /// Times it was sent back to the waiting room below, which count as no attempt.
    pub returns: u32,
    /// When it was first sent back for want of a slot.
    pub without_slot_since: Option<Tick>,
}

/// Returns of one call, beyond which nothing below seems to hold it.
const RETURNS: u32 = 10;
/// Who waits for a slot is sent back as often as probes find none: one return more is due to it in so
/// much time. Below that, no room holds calls, and each return is a request more.
const ONE_MORE_EACH: Duration = Duration::from_secs(10);

/// Servers floor `Retry-After` to whole seconds: up to this much is added, which also keeps those
/// that were told the same from coming back together.
const FLOORED: Duration = Duration::from_secs(1);

impl Progress {
    /// What to do after an attempt that got `verdict`. Counts what it decides, and pays for it.
    pub fn decide(
        &mut self,
        config: &Config,
        info: &RequestInfo,
        verdict: &Verdict,
        now: Tick,
        rng: &mut Rng,
    ) -> Decision {
        if let Some(stop) = final_word(info, verdict) {
            return Decision::Stop(stop);
        }
        let shortage = matches!(verdict.outcome, Outcome::Throttled | Outcome::Exhausted);
        if shortage && config.when_throttled == WhenThrottled::WaitBelow {
            return self.back_to_the_line(verdict.outcome, now);
        }
        if self.retries + 1 >= config.attempts {
            return Decision::Stop(Stop::OutOfAttempts);
        }
        let schedule = match verdict.outcome {
            Outcome::Exhausted => return Decision::Stop(Stop::Exhausted),
            Outcome::Throttled => &config.throttled,
            Outcome::Transient => &config.transient,
            _ => &config.unknown,
        };
        let wait = self.wait(config, schedule, verdict, rng);
        let fits = |wait: &Duration| info.deadline.is_none_or(|deadline| now + *wait < deadline);
        let Some(wait) = wait.filter(fits) else {
            return Decision::Stop(Stop::OutOfTime);
        };
        // Asked last: nothing is paid for a retry that is not made.
        if !config.budget.as_ref().is_none_or(|b| b.withdraw(info.scope, verdict.outcome)) {
            return Decision::Stop(Stop::OutOfBudget);
        }
        self.retries += 1;
        Decision::After(wait)
    }

    fn back_to_the_line(&mut self, outcome: Outcome, now: Tick) -> Decision {
        if outcome == Outcome::Exhausted {
            self.without_slot_since.get_or_insert(now);
        }
        let waited = self.without_slot_since.map_or(Duration::ZERO, |since| now.since(since));
        let more = u32::try_from(waited.as_secs() / ONE_MORE_EACH.as_secs()).unwrap_or(u32::MAX);
        if self.returns >= RETURNS.saturating_add(more) {
            return Decision::Stop(Stop::OutOfAttempts);
        }
        self.returns += 1;
        Decision::Again
    }

    /// `None`: longer than anyone should wait.
    fn wait(
        &self,
        config: &Config,
        schedule: &Backoff,
        verdict: &Verdict,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let Some(asked_for) = verdict.retry_after else {
            return Some(schedule.delay(self.retries, rng));
        };
        if asked_for > config.longest_retry_after {
            return None;
        }
        Some(asked_for + Backoff::constant(FLOORED).full_jitter().delay(0, rng))
    }
}

/// Why no further attempt would be right, whatever the configuration.
pub(crate) fn final_word(info: &RequestInfo, verdict: &Verdict) -> Option<Stop> {
    match verdict.outcome {
        Outcome::Success => return Some(Stop::Success),
        Outcome::Rejected => return Some(Stop::Rejected),
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
mod tests {
    use std::num::NonZeroU32;

    use sandtower_core::Seed;

    use super::*;
    use crate::budget::Budget;

    const NOW: Tick = Tick::from_nanos(1_000_000_000_000);

    fn decide(config: &Config, info: RequestInfo, verdict: Verdict) -> Decision {
        let mut rng = Seed::fixed(1).rng();
        Progress::default().decide(config, &info, &verdict, NOW, &mut rng)
    }

    fn original(verdict: Verdict) -> Decision {
        decide(&Config::classic(), RequestInfo::default(), verdict)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_class_of_failure_waits_by_its_own_schedule() {
        let transient = Verdict::transient(Effect::None);
        assert_eq!(original(transient), Decision::After(SECOND));
        assert_eq!(original(Verdict::throttled()), Decision::After(30 * SECOND));
        let unknown = Verdict::unknown().effect(Effect::None);
        assert_eq!(original(unknown), Decision::After(2 * SECOND));
    }

    #[test]
    fn what_another_attempt_cannot_cure_ends_the_call() {
        assert_eq!(original(Verdict::success()), Decision::Stop(Stop::Success));
        assert_eq!(original(Verdict::permanent()), Decision::Stop(Stop::Permanent));
        assert_eq!(original(Verdict::exhausted()), Decision::Stop(Stop::Exhausted));
        assert_eq!(original(Verdict::rejected()), Decision::Stop(Stop::Rejected));
    }

    #[test]
    fn a_request_that_may_have_had_an_effect_is_sent_again_only_if_that_is_safe() {
        let maybe = Verdict::transient(Effect::Maybe);
        assert_eq!(original(maybe), Decision::Stop(Stop::UnsafeToReplay));
        let safe = RequestInfo::default().replay(Replay::Safe);
        assert_eq!(decide(&Config::classic(), safe, maybe), Decision::After(SECOND));
    }

    #[test]
    fn the_servers_advice_moves_within_the_replay_rule() {
        let retry = Verdict::permanent().advice(Advice::Retry);
        assert_eq!(original(retry), Decision::After(2 * SECOND));
        let harmful = retry.effect(Effect::Maybe);
        assert_eq!(original(harmful), Decision::Stop(Stop::UnsafeToReplay));
        let stop = Verdict::transient(Effect::None).advice(Advice::Stop);
        assert_eq!(original(stop), Decision::Stop(Stop::Advised));
    }

    #[test]
    fn attempts_are_counted_from_the_first() {
        let (config, mut progress) = (Config::classic(), Progress::default());
        let mut rng = Seed::fixed(1).rng();
        let mut after_failure = || {
            let verdict = Verdict::transient(Effect::None);
            progress.decide(&config, &RequestInfo::default(), &verdict, NOW, &mut rng)
        };
        let waits = [1, 2, 4].map(|seconds| Decision::After(seconds * SECOND));
        assert_eq!([after_failure(), after_failure(), after_failure()], waits);
        assert_eq!(after_failure(), Decision::Stop(Stop::OutOfAttempts));
    }

    #[test]
    fn the_service_is_waited_for_up_to_a_second_longer_than_it_says() {
        let told = Verdict::throttled().retry_after(5 * SECOND);
        for _ in 0..100 {
            let Decision::After(wait) = original(told) else { panic!("no wait") };
            assert!((5 * SECOND..=6 * SECOND).contains(&wait), "{wait:?}");
        }
        let absurd = Verdict::throttled().retry_after(3_600 * SECOND);
        assert_eq!(original(absurd), Decision::Stop(Stop::OutOfTime));
    }

    #[test]
    fn a_wait_that_does_not_fit_before_the_deadline_ends_the_call_at_once() {
        let failed = Verdict::transient(Effect::None);
        let within = |wait| RequestInfo::default().deadline(Some(NOW + wait));
        let config = Config::classic();
        assert_eq!(decide(&config, within(2 * SECOND), failed), Decision::After(SECOND));
        assert_eq!(decide(&config, within(SECOND), failed), Decision::Stop(Stop::OutOfTime));
    }

    #[test]
    fn without_budget_there_is_no_retry_and_nothing_is_paid_for_one_that_is_not_made() {
        let one = Budget::new(0.2, NonZeroU32::MIN).unwrap();
        let config = Config::classic().budget(Some(one.clone()));
        let failed = Verdict::transient(Effect::None);
        let late = RequestInfo::default().deadline(Some(NOW));
        assert_eq!(decide(&config, late, failed), Decision::Stop(Stop::OutOfTime));
        assert_eq!(one.snapshot().thousandths, 1_000);
        assert_eq!(decide(&config, RequestInfo::default(), failed), Decision::After(SECOND));
        assert_eq!(
            decide(&config, RequestInfo::default(), failed),
            Decision::Stop(Stop::OutOfBudget)
        );
    }

    #[test]
    fn with_a_waiting_room_below_a_throttled_call_goes_back_to_it_and_counts_no_attempt() {
        let config = Config::recommended().when_throttled(WhenThrottled::WaitBelow);
        let mut progress = Progress::default();
        let mut rng = Seed::fixed(1).rng();
        let mut after =
            |verdict| progress.decide(&config, &RequestInfo::default(), &verdict, NOW, &mut rng);
        for verdict in [Verdict::throttled(), Verdict::exhausted()].repeat(5) {
            assert_eq!(after(verdict), Decision::Again);
        }
        assert_eq!(after(Verdict::throttled()), Decision::Stop(Stop::OutOfAttempts));
        assert_eq!((progress.retries, progress.returns), (0, 10));
    }

    /// How many requests a call makes in an hour, if it is told after each `pause` that all slots are
    /// in use.
    fn returns_in_an_hour(pause: Duration) -> u32 {
        let config = Config::recommended().when_throttled(WhenThrottled::WaitBelow);
        let (mut progress, mut now) = (Progress::default(), NOW);
        let mut rng = Seed::fixed(1).rng();
        let verdict = Verdict::exhausted();
        while now < NOW + 3_600 * SECOND {
            if progress.decide(&config, &RequestInfo::default(), &verdict, now, &mut rng)
                != Decision::Again
            {
                break;
            }
            now += pause;
        }
        progress.returns
    }

    #[test]
    fn a_call_that_is_held_for_a_slot_is_held_as_long_as_it_takes() {
        assert_eq!(returns_in_an_hour(10 * SECOND), 360);
        assert_eq!(returns_in_an_hour(60 * SECOND), 60);
    }

    #[test]
    fn a_call_that_nothing_holds_is_not_sent_back_for_ever() {
        assert_eq!(returns_in_an_hour(SECOND / 10), 10);
        assert_eq!(returns_in_an_hour(2 * SECOND), 12);
    }
}
