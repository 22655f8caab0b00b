use std::time::Duration;

use super::recording::{self, Ended, Recording};
use super::*;
use crate::{Outcome, Reason, Rejection, Tick};

const BEGAN: Tick = Tick::from_nanos(1_000_000_000_000);

fn at(millis: u64) -> Tick {
    BEGAN + Duration::from_millis(millis)
}

fn limited() -> Rejection {
    Rejection::new("rate limit", "E2B", Reason::OverLimit { count: 5, limit: 5 })
}

/// What is explained of a call of which `report` reports.
fn explanation(report: impl FnOnce(), outcome: Outcome, end: u64) -> Explanation {
    let mut recording = Recording::begin(BEGAN);
    {
        let _entered = recording.enter();
        report();
    }
    let ended = Ended { outcome, status: None };
    recording.end(ended, (outcome == Outcome::Rejected).then(limited).as_ref(), at(end)).unwrap()
}

#[test]
fn a_call_of_one_attempt_is_one_stage() {
    let plain = explanation(|| (), Outcome::Success, 40);
    assert_eq!(plain.to_string(), "attempt 1 succeeded in 40 ms");
    assert_eq!((plain.attempts(), plain.total()), (1, Duration::from_millis(40)));
}

#[test]
fn the_only_stage_has_the_outcome_and_the_status_of_the_call() {
    let ended = Ended { outcome: Outcome::Transient, status: Some(503) };
    let call = Recording::begin(BEGAN).end(ended, None, at(40)).unwrap();
    let stage = &call.stages()[0];
    assert_eq!((stage.outcome, stage.status), (Some(Outcome::Transient), Some(503)));
}

#[test]
fn every_wait_and_every_attempt_is_listed_in_order() {
    let call = explanation(
        || {
            recording::joined_queue(at(0));
            recording::held_by(&limited());
            recording::left_queue(at(2_100));
            recording::failed(Outcome::Transient, Some(503), StageKind::Backoff, at(2_500));
            recording::attempt(2, at(2_800));
            recording::succeeded(StageKind::HealthCheck, at(4_000));
            // Of a probe, which is no stage of the call.
            recording::joined_queue(at(4_010));
            recording::left_queue(at(4_020));
        },
        Outcome::Success,
        4_100,
    );
    assert_eq!(
        call.to_string(),
        "queue 2.1 s (rate limit), attempt 1 failed (503) after 0.4 s, backoff 0.3 s, \
         attempt 2 succeeded in 1.2 s, health check 0.1 s"
    );
    assert_eq!(call.attempts(), 2);
    assert_eq!(call.stages().iter().map(|stage| stage.took).sum::<Duration>(), call.total());
    assert_eq!(call.stages()[3].start, Duration::from_millis(2_800));
    assert_eq!(call.time_in(StageKind::Attempt), Duration::from_millis(1_600));
}

#[test]
fn a_rejection_before_any_attempt_is_no_attempt() {
    let call = explanation(|| (), Outcome::Rejected, 0);
    assert_eq!(call.to_string(), format!("rejected: {}", limited()));
    assert_eq!(call.attempts(), 0);
}

#[test]
fn a_call_that_ends_in_the_queue_says_what_held_it() {
    let queued = || {
        recording::joined_queue(at(0));
        recording::held_by(&limited());
    };
    let late = explanation(queued, Outcome::Transient, 60_000);
    assert_eq!(late.to_string(), "still queued after 60.0 s (rate limit)");
    let rejected = explanation(queued, Outcome::Rejected, 1_000);
    assert_eq!(rejected.to_string(), format!("queue 1.0 s (rate limit), rejected: {}", limited()));
}

#[test]
fn a_long_call_is_bounded_and_loses_no_time() {
    let call = explanation(
        || {
            for number in 1..=50 {
                let now = u64::from(number) * 100;
                recording::failed(Outcome::Throttled, None, StageKind::Backoff, at(now - 50));
                recording::attempt(number + 1, at(now));
            }
        },
        Outcome::Success,
        5_050,
    );
    assert_eq!((call.stages().len(), call.unlisted()), (MOST_STAGES, 85));
    assert_eq!(call.time_in(StageKind::Backoff), Duration::from_millis(2_500));
    assert_eq!(call.time_in(StageKind::Attempt), Duration::from_millis(2_550));
    assert_eq!(call.attempts(), 51);
    assert!(call.to_string().contains(", 85 more stages 4.2 s, attempt 51 succeeded"), "{call}");
}

#[test]
fn reports_without_a_recording_go_nowhere() {
    assert!(!recording::is_on());
    recording::joined_queue(at(0));
    assert!(recording::last_queue().is_none());
}

#[test]
fn a_call_within_a_call_is_part_of_it() {
    let outer = explanation(
        || {
            let mut inner = Recording::begin(at(10));
            {
                let _entered = inner.enter();
                recording::joined_queue(at(10));
                recording::left_queue(at(30));
            }
            let ended = Ended::new(Outcome::Success);
            let inner = inner.end(ended, None, at(50)).unwrap();
            assert_eq!(inner.to_string(), "queue 20 ms, attempt 1 succeeded in 20 ms");
            assert!(recording::is_on(), "the outer recording goes on");
        },
        Outcome::Unknown,
        70,
    );
    assert_eq!(outer.outcome(), Outcome::Success, "the call within is known");
    let starts: Vec<_> = outer.stages().iter().map(|stage| stage.start.as_millis()).collect();
    assert_eq!(starts, [0, 10, 30]);
}

#[tokio::test(start_paused = true)]
async fn an_explained_future_is_timed_from_its_first_poll() {
    let wait = Duration::from_secs(2);
    let call = explained(async {
        recording::joined_queue(Tick::now());
        tokio::time::sleep(wait).await;
        recording::left_queue(Tick::now());
        Err::<(), _>("no")
    });
    tokio::time::sleep(wait).await;
    let (result, explanation) = call.await;
    assert_eq!((result, explanation.outcome()), (Err("no"), Outcome::Unknown));
    assert_eq!(explanation.time_in(StageKind::Queue), wait);
    assert!(!recording::is_on());
}
