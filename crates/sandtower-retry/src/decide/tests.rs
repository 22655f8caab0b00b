use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sandtower_core::{Operation, Seed};

use super::*;
use crate::budget::Budget;

const NOW: Tick = Tick::from_nanos(1_000_000_000_000);

fn decide(config: &Config, info: RequestInfo, verdict: Verdict) -> Decision {
    let mut rng = Seed::fixed(1).rng();
    Progress::default().decide(config, &info, &verdict, NOW, &mut rng, || true)
}

fn classic(verdict: Verdict) -> Decision {
    decide(&Config::classic(), RequestInfo::default(), verdict)
}

const SECOND: Duration = Duration::from_secs(1);

/// It waits for about `schedule`: the last quarter is drawn.
fn assert_waits(decision: Decision, schedule: Duration) {
    let Decision::After(wait) = decision else { panic!("{decision:?}") };
    assert!(schedule * 3 / 4 <= wait && wait <= schedule, "{wait:?} of {schedule:?}");
}

#[test]
fn each_class_of_failure_waits_by_its_own_schedule() {
    let transient = Verdict::transient(Effect::None);
    assert_waits(classic(transient), SECOND);
    assert_waits(classic(Verdict::throttled()), 30 * SECOND);
    let unknown = Verdict::unknown().effect(Effect::None);
    assert_waits(classic(unknown), 2 * SECOND);
}

#[test]
fn a_failure_that_retries_cannot_help_ends_the_call() {
    assert_eq!(classic(Verdict::success()), Decision::Stop(Stop::Success));
    assert_eq!(classic(Verdict::permanent()), Decision::Stop(Stop::Permanent));
    assert_eq!(classic(Verdict::exhausted()), Decision::Stop(Stop::Exhausted));
    assert_eq!(classic(Verdict::rejected()), Decision::Stop(Stop::Rejected));
}

#[test]
fn a_request_that_may_have_had_an_effect_is_sent_again_only_if_that_is_safe() {
    let maybe = Verdict::transient(Effect::Maybe);
    assert_eq!(classic(maybe), Decision::Stop(Stop::UnsafeToReplay));
    let safe = RequestInfo::default().replay(Replay::Safe);
    assert_waits(decide(&Config::classic(), safe, maybe), SECOND);
}

#[test]
fn the_servers_advice_does_not_override_the_replay_rule() {
    let retry = Verdict::permanent().advice(Advice::Retry);
    assert_waits(classic(retry), 2 * SECOND);
    let harmful = retry.effect(Effect::Maybe);
    assert_eq!(classic(harmful), Decision::Stop(Stop::UnsafeToReplay));
    let stop = Verdict::transient(Effect::None).advice(Advice::Stop);
    assert_eq!(classic(stop), Decision::Stop(Stop::Advised));
}

#[test]
fn attempts_are_counted_from_the_first() {
    let (config, mut progress) = (Config::classic(), Progress::default());
    let mut rng = Seed::fixed(1).rng();
    let mut after_failure = || {
        let verdict = Verdict::transient(Effect::None);
        progress.decide(&config, &RequestInfo::default(), &verdict, NOW, &mut rng, || true)
    };
    for seconds in [1, 2, 4] {
        assert_waits(after_failure(), seconds * SECOND);
    }
    assert_eq!(after_failure(), Decision::Stop(Stop::OutOfAttempts));
}

#[test]
fn retry_after_is_extended_by_up_to_a_second() {
    let throttled = Verdict::throttled().retry_after(5 * SECOND);
    for _ in 0..100 {
        let Decision::After(wait) = classic(throttled) else { panic!("no wait") };
        assert!((5 * SECOND..=6 * SECOND).contains(&wait), "{wait:?}");
    }
    let config = Config::classic();
    let longest = Verdict::throttled().retry_after(config.longest_retry_after);
    assert!(matches!(classic(longest), Decision::After(_)), "the longest wait is allowed");
    let absurd = Verdict::throttled().retry_after(config.longest_retry_after + SECOND);
    assert_eq!(classic(absurd), Decision::Stop(Stop::OutOfTime));
}

#[test]
fn a_wait_that_does_not_fit_before_the_deadline_ends_the_call_at_once() {
    let failed = Verdict::transient(Effect::None);
    let within = |wait| RequestInfo::default().deadline(Some(NOW + wait));
    let config = Config::classic();
    assert_waits(decide(&config, within(2 * SECOND), failed), SECOND);
    assert_eq!(decide(&config, within(SECOND * 3 / 4), failed), Decision::Stop(Stop::OutOfTime));
}

#[test]
fn without_budget_there_is_no_retry_and_a_retry_that_is_not_sent_costs_nothing() {
    let one = Budget::new(0.2, NonZeroU32::MIN).unwrap();
    let config = Config::classic().budget(Some(one.clone()));
    let failed = Verdict::transient(Effect::None);
    let late = RequestInfo::default().deadline(Some(NOW));
    assert_eq!(decide(&config, late, failed), Decision::Stop(Stop::OutOfTime));
    assert_eq!(one.snapshot().thousandths, 1_000);
    assert_waits(decide(&config, RequestInfo::default(), failed), SECOND);
    assert_eq!(decide(&config, RequestInfo::default(), failed), Decision::Stop(Stop::OutOfBudget));
}

#[test]
fn with_a_queue_below_a_throttled_call_returns_to_it_without_counting_an_attempt() {
    let config = Config::recommended().when_throttled(WhenThrottled::Requeue);
    let mut progress = Progress::default();
    let mut rng = Seed::fixed(1).rng();
    let mut after = |verdict| {
        progress.decide(&config, &RequestInfo::default(), &verdict, NOW, &mut rng, || true)
    };
    for verdict in [Verdict::throttled(), Verdict::exhausted()].repeat(5) {
        assert_eq!(after(verdict), Decision::Again);
    }
    assert_eq!(after(Verdict::throttled()), Decision::Stop(Stop::OutOfAttempts));
    assert_eq!((progress.retries, progress.returns), (0, 10));
}

#[test]
fn while_no_queue_below_holds_it_a_throttled_call_sleeps_and_one_without_a_slot_does_not() {
    let held = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&held);
    let config = Config::classic().when_throttled(WhenThrottled::Requeue);
    let config = config.requeue_while(move || seen.load(Relaxed));
    let after = |verdict| decide(&config, RequestInfo::default(), verdict);
    assert_eq!(after(Verdict::throttled()), Decision::Again);
    held.store(false, Relaxed);
    assert_waits(after(Verdict::throttled()), 30 * SECOND);
    assert_eq!(after(Verdict::exhausted()), Decision::Again);
    held.store(true, Relaxed);
    assert_eq!(after(Verdict::throttled()), Decision::Again);
}

#[test]
fn a_call_that_is_held_through_an_outage_goes_back_to_the_queue_if_it_may_be_repeated() {
    let config = Config::recommended().budget(None);
    let held = config.clone().requeue_through_outage(|info| info.operation == Operation::CALL);
    let safe = RequestInfo::default().replay(Replay::Safe);
    let failed = Verdict::transient(Effect::Maybe);
    assert_eq!(decide(&held, safe, failed), Decision::Again);
    assert!(matches!(decide(&config, safe, failed), Decision::After(_)));
    let other = RequestInfo::new(Operation::new(9, "other")).replay(Replay::Safe);
    assert!(matches!(decide(&held, other, failed), Decision::After(_)));
    let stop = decide(&held, RequestInfo::default(), failed);
    assert_eq!(stop, Decision::Stop(Stop::UnsafeToReplay));
    let late = safe.deadline(Some(NOW));
    assert_eq!(decide(&held, late, failed), Decision::Stop(Stop::OutOfTime));
}

/// How many requests a call sends in an hour if after each `pause` all slots are in use.
fn returns_in_an_hour(pause: Duration) -> u32 {
    let config = Config::recommended().when_throttled(WhenThrottled::Requeue);
    let (mut progress, mut now) = (Progress::default(), NOW);
    let mut rng = Seed::fixed(1).rng();
    let verdict = Verdict::exhausted();
    while now < NOW + 3_600 * SECOND {
        let info = RequestInfo::default();
        let decision = progress.decide(&config, &info, &verdict, now, &mut rng, || true);
        if decision != Decision::Again {
            break;
        }
        now += pause;
    }
    progress.returns
}

#[test]
fn callers_that_failed_together_do_not_return_together_whatever_the_schedule() {
    let seed = Seed::fixed(5);
    let constant = Backoff::constant(SECOND);
    let plain =
        Config::classic().transient(constant).throttled(constant).unknown(constant).budget(None);
    let failures = [
        Verdict::transient(Effect::None),
        Verdict::throttled(),
        Verdict::unknown().effect(Effect::None),
    ];
    for config in [Config::recommended().budget(None), Config::classic().budget(None), plain] {
        for verdict in failures {
            let info = RequestInfo::default();
            let mut waits: Vec<_> = (0..1_000)
                .map(|_| {
                    let (mut rng, mut call) = (seed.rng(), Progress::default());
                    match call.decide(&config, &info, &verdict, NOW, &mut rng, || true) {
                        Decision::After(wait) => wait,
                        other => panic!("{other:?}"),
                    }
                })
                .collect();
            waits.sort_unstable();
            let most = waits.windows(20).map(|near| near[19].saturating_sub(near[0])).min();
            assert!(most > Some(Duration::from_micros(100)), "{verdict:?}: 20 within {most:?}");
        }
    }
}

#[test]
fn a_request_is_copied_only_when_another_attempt_is_wanted() {
    let config = Config::recommended().attempts(NonZeroU32::new(2).unwrap());
    let info = RequestInfo::default().deadline(Some(NOW + 60 * SECOND));
    let copies = |progress: &mut Progress, info: &RequestInfo, verdict: Verdict| {
        let (mut rng, mut copies) = (Seed::fixed(1).rng(), 0);
        progress.decide(&config, info, &verdict, NOW, &mut rng, || {
            copies += 1;
            true
        });
        copies
    };
    for verdict in [
        Verdict::success(),
        Verdict::permanent(),
        Verdict::rejected(),
        Verdict::cancelled(),
        Verdict::exhausted(),
        Verdict::unknown(),
        Verdict::throttled().retry_after(3_600 * SECOND),
        Verdict::throttled().retry_after(59 * SECOND + SECOND),
    ] {
        assert_eq!(copies(&mut Progress::default(), &info, verdict), 0, "{verdict:?}");
    }
    let failed = Verdict::transient(Effect::None);
    let mut progress = Progress::default();
    assert_eq!(copies(&mut progress, &info, failed), 1);
    assert_eq!(copies(&mut progress, &info, failed), 0, "all attempts are made");
}

#[test]
fn a_request_that_cannot_be_sent_again_costs_nothing() {
    let one = Budget::new(0.2, NonZeroU32::MIN).unwrap();
    let config = Config::classic().budget(Some(one.clone()));
    let (info, failed) = (RequestInfo::default(), Verdict::transient(Effect::None));
    let mut rng = Seed::fixed(1).rng();
    let decided = Progress::default().decide(&config, &info, &failed, NOW, &mut rng, || false);
    assert_eq!(decided, Decision::Stop(Stop::SentOnce));
    assert_eq!(one.snapshot().thousandths, 1_000);
}

#[test]
fn a_failure_of_the_caller_ends_the_call_although_it_may_be_replayed() {
    let safe = RequestInfo::default().replay(Replay::Safe);
    let cancelled = Verdict::cancelled().about_caller();
    assert_eq!(decide(&Config::classic(), safe, cancelled), Decision::Stop(Stop::Cancelled));
}

#[test]
fn a_call_that_is_held_for_a_slot_is_held_as_long_as_it_takes() {
    assert_eq!(returns_in_an_hour(10 * SECOND), 360);
    assert_eq!(returns_in_an_hour(60 * SECOND), 60);
}

#[test]
fn a_call_that_nothing_holds_is_not_sent_back_forever() {
    assert_eq!(returns_in_an_hour(SECOND / 10), 10);
    assert_eq!(returns_in_an_hour(2 * SECOND), 12);
}
