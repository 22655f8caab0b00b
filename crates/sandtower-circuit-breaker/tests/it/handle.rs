//! The handle: what it tells, and what an operator does with it.

use std::time::Duration;

use sandtower_circuit_breaker::{CircuitBreaker, State};
use sandtower_core::Verdict;
use serde_json::json;
use tokio::time::advance;

use crate::support::{FAILURES, OPEN, acquire, call, classic, end, rejection, trip};

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_all_it_knows_in_plain_numbers() {
    let (breaker, service, handle) = classic();
    call(&service).await.unwrap();
    trip(&service, &handle).await;
    advance(Duration::from_millis(15_000)).await;
    assert!(acquire(&breaker).is_err());
    assert_eq!(
        serde_json::to_value(breaker.snapshot()).unwrap(),
        json!({
            "name": "E2B",
            "state": "open",
            "forced": false,
            "shadow": false,
            "since_ms": 15_000,
            "at_once": 0,
            "recent_failures": 5,
            "recent_calls": 5,
            "last_cause": "unknown",
            "retry_in_ms": 45_000,
            "counters": {
                "succeeded": 1, "failed": 5, "throttled": 0, "declined": 0, "cancelled": 0,
                "late": 0, "rejected": 1, "would_reject": 0, "probes": 0, "expired_probes": 0, "trips": 1,
            },
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_in_half_open_begins_when_the_open_time_ends() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN + Duration::from_secs(3)).await;
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.since), (State::HalfOpen, Duration::from_secs(3)));
    assert_eq!(snapshot.retry_in, None);
}

#[tokio::test(start_paused = true)]
async fn forced_open_it_rejects_until_released_and_then_probes() {
    let (breaker, service, _handle) = classic();
    breaker.force_open();
    advance(OPEN * 1_000).await;
    let rejected = rejection(call(&service).await);
    assert_eq!(rejected.to_string(), "circuit breaker `E2B` is open: an operator forced it");
    assert!(breaker.snapshot().forced);

    breaker.release();
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn forced_closed_it_lets_everything_through_until_released() {
    let (breaker, service, handle) = classic();
    breaker.force_closed();
    trip(&service, &handle).await;
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(breaker.snapshot().recent_failures, 10);

    breaker.release();
    assert_eq!(breaker.snapshot().recent_failures, 0);
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn releasing_what_was_not_forced_does_nothing() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    breaker.release();
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_reset_closes_it_and_keeps_the_counters() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    breaker.reset();
    assert_eq!(breaker.snapshot().state, State::Closed);
    call(&service).await.unwrap();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.counters.failed, snapshot.counters.trips), (FAILURES, 1));
    assert_eq!((snapshot.last_cause, snapshot.forced), (None, false));
}

#[test]
fn no_response_is_counted_twice_or_not_at_all_however_many_threads_count() {
    let breaker = CircuitBreaker::recommended("E2B");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for call in 0..10_000 {
                    let Ok(permit) = acquire(&breaker) else { continue };
                    let verdict = match call % 10 {
                        0 => Verdict::unknown(),
                        1 => Verdict::permanent(),
                        _ => Verdict::success(),
                    };
                    end(&breaker, permit, verdict);
                }
            });
        }
    });
    let counters = breaker.snapshot().counters;
    let counted = [counters.succeeded, counters.declined, counters.failed, counters.late];
    assert_eq!(counted.iter().sum::<u64>() + counters.rejected, 40_000);
}
