//! What a breaker tells of its past, and to those who follow it.

mod support;

use std::time::Duration;

use sandtower_circuit_breaker::{CircuitBreaker, State};
use sandtower_core::Outcome;
use serde_json::json;
use support::{OPEN, call, classic, poll_once, settle, trip};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn the_history_tells_what_happened_when_and_why() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN + Duration::from_secs(2)).await;
    call(&service).await.unwrap();
    advance(Duration::from_secs(8)).await;
    assert_eq!(
        serde_json::to_value(breaker.history()).unwrap(),
        json!([
            {
                "number": 1, "ago_ms": 70_000, "from": "closed", "to": "open", "forced": false,
                "failed": 5, "of": 5, "cause": "unknown", "retry_in_ms": 60_000,
            },
            {
                "number": 2, "ago_ms": 10_000, "from": "open", "to": "half_open",
                "forced": false, "failed": 5, "of": 5, "cause": "unknown", "retry_in_ms": null,
            },
            {
                "number": 3, "ago_ms": 8_000, "from": "half_open", "to": "closed",
                "forced": false, "failed": 0, "of": 0, "cause": "unknown", "retry_in_ms": null,
            },
        ]),
    );
}

#[test]
fn the_history_is_bounded() {
    let breaker = CircuitBreaker::classic("E2B");
    (0..1_000).for_each(|_| breaker.force_open());
    let numbers: Vec<_> = breaker.history().iter().map(|moved| moved.number).collect();
    assert_eq!(numbers, (937..=1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_is_woken_and_told_each_transition_once() {
    let (breaker, service, handle) = classic();
    let mut transitions = breaker.subscribe();
    assert!(poll_once(transitions.wait()).await.is_none());
    let told = tokio::spawn(async move {
        let first = transitions.wait().await;
        (first, transitions)
    });
    settle().await;
    trip(&service, &handle).await;
    let (first, mut transitions) = told.await.unwrap();
    assert_eq!((first.missed, first.transition.to), (0, State::Open));
    assert_eq!(first.transition.cause, Some(Outcome::Unknown));

    advance(OPEN).await;
    call(&service).await.unwrap();
    let then = [transitions.wait().await, transitions.wait().await].map(|told| told.transition.to);
    assert_eq!(then, [State::HalfOpen, State::Closed]);
    assert!(transitions.try_next().is_none());
}

#[test]
fn a_slow_subscriber_is_told_how_many_it_missed() {
    let breaker = CircuitBreaker::classic("E2B");
    let mut transitions = breaker.subscribe();
    (0..100).for_each(|_| breaker.force_open());
    let told = transitions.try_next().unwrap();
    assert_eq!((told.missed, told.transition.number), (36, 37));
    let told = transitions.try_next().unwrap();
    assert_eq!((told.missed, told.transition.number), (0, 38));
}

#[test]
fn a_subscriber_hears_nothing_from_before_it_came_and_costs_others_nothing() {
    let breaker = CircuitBreaker::classic("E2B");
    breaker.force_open();
    let (mut one, mut other) = (breaker.subscribe(), breaker.subscribe());
    assert!(one.try_next().is_none());
    breaker.reset();
    assert_eq!(one.try_next().unwrap().transition.to, State::Closed);
    drop(one);
    assert_eq!(other.try_next().unwrap().transition.to, State::Closed);
}
