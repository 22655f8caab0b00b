//! Services that break the contract are detected, and the rule that they break is named.

mod broken;
mod once_ready;
mod queued;
mod room;
mod timed;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sandtower_testkit::{BoxError, Contract, Mock, Scenario};
use tower::{Layer, Service, ServiceExt};

use self::broken::{
    CallsAFreshClone, CallsTwice, ErrsAfterFailures, ForgetsWakers, HidesErrors, KeepsCalls,
    KeepsTheFirstWaker, KeepsWhatWasReady, LeaksWhatWasReady, Spins, WakesTheDead,
    WedgesWhenCancelled,
};

/// What the probe reports about a service that breaks the contract.
fn verdict<S>(build: impl Fn(Mock) -> S + 'static) -> String
where
    S: Service<u64, Response = u64> + Clone + 'static,
    S::Error: Into<BoxError>,
{
    message_of(&Contract::of(build))
}

fn message_of<Req: 'static, S>(contract: &Contract<Req, u64, S>) -> String
where
    S: Service<Req, Response = u64> + 'static,
    S::Error: Into<BoxError>,
{
    match catch_unwind(AssertUnwindSafe(|| contract.run())) {
        Ok(()) => "nothing is broken".to_owned(),
        Err(panic) => *panic.downcast().unwrap_or_else(|_| Box::new("no text".to_owned())),
    }
}

#[track_caller]
fn assert_says(verdict: &str, parts: &[&str]) {
    for part in parts {
        assert!(verdict.contains(part), "no {part:?} in: {verdict}");
    }
}

#[test]
fn a_service_that_calls_a_fresh_clone() {
    assert_says(
        &verdict(CallsAFreshClone),
        &[
            "tower contract broken: rule `only-ready-instances-are-called`",
            "not itself polled ready (clone #1, cloned from #0, call 0) (scenario `ready-instances`)",
        ],
    );
}

#[tokio::test]
async fn a_service_that_calls_a_fresh_clone_works_by_luck_over_a_lenient_inner_service() {
    // Why a probe is needed: without one the bug stays invisible.
    let lenient = tower::service_fn(async |request: u64| Ok::<_, BoxError>(request));
    assert_eq!(CallsAFreshClone(lenient).oneshot(7).await.expect("a response"), 7);
}

#[test]
fn a_service_that_calls_twice_on_one_readiness() {
    assert_says(&verdict(CallsTwice), &["rule `one-call-per-readiness`", "call 1)"]);
}

#[test]
fn a_service_that_leaks_its_reservation_on_drop() {
    assert_says(
        &verdict(LeaksWhatWasReady::new),
        &[
            "rule `reservations-come-back`: inner service ready and responding at once, a call \
             cancelled after",
            "a reservation is still held, ready but not called: clone #",
            "a call, after a ready service was dropped uncalled: it did not finish within 3600s",
            "1 instances hold a reservation uncalled, 1 wait for one) (scenario \
             `uncalled-services-give-back`)",
        ],
    );
}

#[test]
fn a_service_that_keeps_what_was_ready_in_shared_state() {
    assert_says(
        &verdict(KeepsWhatWasReady::new),
        &[
            "rule `reservations-come-back`",
            "(scenario `cancelled-calls-give-back`)",
            "rule `cancelled-calls-do-not-wedge`",
            "(scenario `cancelled-calls-do-not-wedge`)",
        ],
    );
}

#[test]
fn a_service_that_leaves_its_calls_running_in_a_task() {
    assert_says(
        &verdict(KeepsCalls),
        &["rule `dropped-calls-end-below`", "1 calls are still in flight"],
    );
}

#[test]
fn a_service_that_errs_from_readiness_after_failures() {
    assert_says(
        &verdict(ErrsAfterFailures::new),
        &["rule `readiness-never-errs-for-a-passing-cause`: after 5 failed calls, `poll_ready` \
             failed, though the inner service was ready all the time: open"],
    );
}

#[test]
fn a_service_that_never_recovers_from_a_cancelled_call() {
    assert_says(
        &verdict(WedgesWhenCancelled::new),
        &["rule `cancelled-calls-do-not-wedge`", "no later call got through within 3600s"],
    );
}

#[test]
fn a_service_that_loses_a_wake_up() {
    assert_says(
        &verdict(ForgetsWakers::new),
        &["rule `no-lost-wake-ups`", "a spurious poll moves it on"],
    );
}

#[test]
fn a_service_that_wakes_only_the_task_that_polled_first() {
    assert_says(
        &verdict(KeepsTheFirstWaker),
        &["rule `no-lost-wake-ups`: a call that moved to another task after one poll"],
    );
}

#[test]
fn a_service_whose_wake_up_is_swallowed_by_a_dropped_call() {
    assert_says(
        &verdict(WakesTheDead::new),
        &["rule `no-lost-wake-ups`: a call that waits, after another that waited was dropped"],
    );
}

#[test]
fn a_service_that_spins() {
    assert_says(
        &verdict(Spins),
        &["rule `no-busy-loops`", "while nothing changed", "(scenario `idle-waits`)"],
    );
}

#[test]
fn a_service_that_hides_errors() {
    assert_says(
        &verdict(HidesErrors),
        &["rule `responses-pass-through`", "error that the caller gets: sorry"],
    );
}

#[test]
fn a_service_that_panics() {
    let panics = |inner: Mock| inner.map_response(|_| panic!("oh no"));
    assert_says(&verdict(panics), &["rule `no-panics`: the service panicked: oh no"]);
}

#[test]
fn a_violation_in_a_spawned_task_that_swallows_the_panic() {
    let buffered = |inner| tower::buffer::BufferLayer::new(4).layer(CallsAFreshClone(inner));
    assert_says(&verdict(buffered), &["rule `only-ready-instances-are-called`"]);
}

#[test]
fn every_failed_scenario_is_reported_and_the_skipped_with_their_reason() {
    let contract = Contract::of(HidesErrors).skip(Scenario::WakeUps, "no call sleeps here");
    let message = message_of(&contract);
    assert_eq!(message.matches("tower contract broken").count(), 1, "{message}");
    assert_says(&message, &["\nskipped: scenario `wake-ups`: no call sleeps here"]);
    let contract = contract.skip(Scenario::ResponsesPassThrough, "errors are hidden on purpose");
    assert_eq!(message_of(&contract), "nothing is broken");
}
