//! A breaker for each scope: apart from each other, and never too many.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;

use std::time::Duration;

use sandtower_circuit_breaker::{
    CircuitBreakerLayer, CircuitBreakers, Config, ScopedToken, Scopes, State,
};
use sandtower_core::{
    BoxError, Clock, Completion, Gate, RequestInfo, Scope, Take, Verdict, classify_fn,
};
use sandtower_testkit::{Answer, Mock, Readiness};
use sandtower_time::TokioClock;
use serde_json::json;
use support::{FAILURES, OPEN};
use tokio::time::advance;
use tower::{Layer, ServiceExt};

fn classic(most: usize) -> CircuitBreakers {
    CircuitBreakers::new(Config::classic("E2B"), Scopes::new(most)).unwrap()
}

fn info(scope: u64) -> RequestInfo {
    RequestInfo::default().scope(Scope::new(scope))
}

fn take(breakers: &CircuitBreakers, scope: u64) -> Option<ScopedToken> {
    match breakers.take(&info(scope), TokioClock.now()) {
        Take::Open(token) => Some(token),
        Take::NotBefore(..) | Take::Reject(_) => None,
    }
}

fn call(breakers: &CircuitBreakers, scope: u64, verdict: Verdict) {
    let now = TokioClock.now();
    if let Some(token) = take(breakers, scope) {
        breakers.settle(&info(scope), token, &Completion::new(verdict, now, now));
    }
}

fn trip(breakers: &CircuitBreakers, scope: u64) {
    (0..FAILURES).for_each(|_| call(breakers, scope, Verdict::unknown()));
}

#[tokio::test(start_paused = true)]
async fn one_dead_region_does_not_close_the_others() {
    let breakers = classic(10);
    let by_scope = classify_fn(
        |request: &u64| info(*request),
        |result: Result<&u64, &BoxError>| match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        },
    );
    let layer = CircuitBreakerLayer::scoped(breakers.clone()).classify(by_scope);
    let (mock, handle) = Mock::always(7);
    let service = layer.layer(mock);
    handle.set_answers(|_, _| Answer::err("down"));
    for _ in 0..FAILURES {
        service.clone().oneshot(1).await.unwrap_err();
    }
    handle.set_answers(|_, _| Answer::ok(7));
    service.clone().oneshot(1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    assert_eq!(breakers.of(Scope::new(1)).state(), State::Open);
    assert_eq!(breakers.of(Scope::new(2)).state(), State::Closed);

    advance(OPEN).await;
    service.clone().oneshot(1).await.unwrap();
    assert_eq!(breakers.of(Scope::new(1)).state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn silent_scopes_are_forgotten_open_or_not_but_not_what_an_operator_forced() {
    let breakers = classic(10);
    call(&breakers, 1, Verdict::success());
    trip(&breakers, 2);
    breakers.of(Scope::new(3)).force_open();
    advance(Duration::from_secs(599)).await;
    call(&breakers, 4, Verdict::success());
    assert_eq!(breakers.len(), 4);
    advance(Duration::from_secs(300)).await;
    call(&breakers, 4, Verdict::success());
    assert_eq!((breakers.len(), breakers.forgotten()), (2, 2));
    assert_eq!(breakers.of(Scope::new(3)).state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_beyond_the_most_takes_the_place_of_the_longest_silent_that_is_well() {
    let breakers = classic(3);
    for scope in [1, 2, 3] {
        advance(Duration::from_secs(1)).await;
        call(&breakers, scope, Verdict::success());
    }
    trip(&breakers, 1);
    call(&breakers, 4, Verdict::success());
    let kept: Vec<_> = breakers.snapshots().iter().map(|kept| kept.scope).collect();
    assert_eq!(kept, [Some(1), Some(3), Some(4)]);
    assert_eq!(breakers.of(Scope::new(1)).state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_in_trouble_newcomers_share_one_more_and_the_table_does_not_grow() {
    let breakers = classic(3);
    (1..=3).for_each(|scope| trip(&breakers, scope));
    for scope in 4..1_000 {
        call(&breakers, scope, Verdict::unknown());
    }
    assert_eq!(breakers.len(), 3);
    let snapshots = breakers.snapshots();
    assert_eq!(snapshots.len(), 4);
    assert_eq!((snapshots[3].scope, snapshots[3].breaker.state), (None, State::Open));
}

#[tokio::test(start_paused = true)]
async fn however_many_scopes_come_the_most_is_never_exceeded() {
    let breakers = classic(100);
    for scope in 0..10_000 {
        let verdict = if scope % 7 == 0 { Verdict::unknown() } else { Verdict::success() };
        call(&breakers, scope, verdict);
        assert!(breakers.len() <= 100);
    }
    assert_eq!(breakers.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_scope_that_was_forgotten_comes_back_all_the_same() {
    let breakers = classic(1);
    let token = take(&breakers, 1).unwrap();
    call(&breakers, 2, Verdict::success());
    let now = TokioClock.now();
    breakers.settle(&info(1), token, &Completion::new(Verdict::unknown(), now, now));
    assert_eq!(breakers.of(Scope::new(1)).snapshot().recent_failures, 0, "it began anew");
}

#[tokio::test(start_paused = true)]
async fn failures_to_become_ready_count_for_every_scope() {
    let breakers = classic(10);
    call(&breakers, 1, Verdict::success());
    call(&breakers, 2, Verdict::success());
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let service = CircuitBreakerLayer::scoped(breakers.clone()).layer(mock);
    handle.set_readiness(|_| Readiness::Err("no connection".into()));
    for _ in 0..FAILURES {
        service.clone().oneshot(1).await.unwrap_err();
    }
    let states: Vec<_> = breakers.snapshots().iter().map(|kept| kept.breaker.state).collect();
    assert_eq!(states, [State::Open; 2]);
}

#[test]
fn nonsense_is_rejected() {
    let wrong =
        |scopes| CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap_err().to_string();
    assert_eq!(
        wrong(Scopes::new(0)),
        "no scope may have a breaker of its own; let 1 or more, or use one breaker",
    );
    assert_eq!(
        wrong(Scopes::default().forget_after(Duration::ZERO)),
        "forget_after is no time at all; use more than 0, and a day at most",
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_that_of_the_breaker_with_its_scope() {
    let breakers = classic(1);
    call(&breakers, 9, Verdict::success());
    let value = serde_json::to_value(&breakers.snapshots()[0]).unwrap();
    assert_eq!((&value["scope"], &value["state"]), (&json!(9), &json!("closed")));
}
