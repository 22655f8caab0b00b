//! What counts as a failure of the service, and what does not.

use std::time::Duration;

use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakerLayer, Config, State, Trip};
use sandtower_core::{
    BoxError, Gate, Now, RequestInfo, Resource, Verdict, classify_fn, verdict_of_error,
};
use sandtower_testkit::{Answer, Mock, Readiness};
use tokio::time::{advance, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{FAILURES, OPEN, call, classic, configured, pass, rejection, trip};

const MOMENT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

// Whatever fails counts, wherever it is noticed.

#[tokio::test(start_paused = true)]
async fn calls_dropped_by_an_outer_timeout_count() {
    let (breaker, service, handle) = configured(Config::classic("E2B").expected(OPEN / 2));
    handle.set_answers(|_, _| Answer::Hang);
    for _ in 0..FAILURES {
        timeout(OPEN / 2, call(&service)).await.unwrap_err();
    }
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn calls_dropped_before_the_expected_time_tell_nothing() {
    let (breaker, service, handle) = configured(Config::classic("E2B").expected(OPEN / 2));
    handle.set_answers(|_, _| Answer::Hang);
    for _ in 0..10 * FAILURES {
        timeout(OPEN / 2 - MOMENT, call(&service)).await.unwrap_err();
    }
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(breaker.snapshot().counters.cancelled, 10 * FAILURES);
}

#[tokio::test(start_paused = true)]
async fn failures_to_become_ready_count() {
    let (breaker, service, handle) = classic();
    handle.set_readiness(|_| Readiness::Err("no connection".into()));
    for _ in 0..FAILURES {
        assert_eq!(call(&service).await.unwrap_err().to_string(), "no connection");
    }
    assert_eq!(breaker.snapshot().state, State::Open);
    rejection(call(&service).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_become_ready_for_its_probe_opens_it_again() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_readiness(|_| Readiness::Err("no connection".into()));
    call(&service).await.unwrap_err();
    assert_eq!(breaker.snapshot().state, State::Open);
}

// What is not a failure.

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_fewer_calls_never_trips_it_but_fails_its_probe() {
    let throttles = classify_fn(
        |_: &u64| RequestInfo::default(),
        |result: Result<&u64, &BoxError>| match result {
            Ok(429) => Verdict::throttled(),
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        },
    );
    let layer =
        CircuitBreakerLayer::from_breaker(CircuitBreaker::classic("E2B")).classify(throttles);
    let (mock, handle) = Mock::always(429);
    let service = layer.layer(mock);
    for _ in 0..100 {
        service.clone().oneshot(1).await.unwrap();
    }
    assert_eq!(layer.breaker().snapshot().state, State::Closed);

    handle.set_answers(|_, _| Answer::err("down"));
    for _ in 0..FAILURES {
        service.clone().oneshot(1).await.unwrap_err();
    }
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::ok(429));
    service.clone().oneshot(1).await.unwrap();
    assert_eq!(layer.breaker().snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_not_retried_and_counts_nowhere() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    let error = call(&service).await.unwrap_err();
    assert_eq!(verdict_of_error(&*error), Some(Verdict::rejected()));

    let outer = CircuitBreaker::classic("outer");
    let outermost = CircuitBreakerLayer::from_breaker(outer.clone()).layer(service);
    for _ in 0..10 * FAILURES {
        outermost.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!((outer.snapshot().state, breaker.snapshot().state), (State::Closed, State::Open));
}

// The end that a caller chose for a call without an end of its own.

#[tokio::test(start_paused = true)]
async fn open_ended_calls_that_their_callers_end_never_open_it() {
    for config in [Config::recommended("E2B"), Config::classic("E2B")] {
        let layer = CircuitBreakerLayer::try_from(config).unwrap().classify(classify_fn(
            |open_ended: &u64| RequestInfo::default().open_ended(*open_ended == 1),
            |result: Result<&u64, &BoxError>| match result {
                Ok(_) => Verdict::success(),
                Err(_) => Verdict::unknown(),
            },
        ));
        let (mock, handle) = Mock::<u64, u64>::always(7);
        let service = layer.layer(mock);
        handle.set_answers(|_, _| Answer::Hang);
        for _ in 0..20 {
            timeout(90 * SECOND, service.clone().oneshot(1)).await.unwrap_err();
        }
        assert_eq!(layer.breaker().snapshot().recent_failures, 0);
        for _ in 0..7 {
            let _ = timeout(90 * SECOND, service.clone().oneshot(0)).await;
        }
        assert_eq!(layer.breaker().snapshot().counters.trips, 1, "a call that has an end counts");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_ended_probe_that_its_caller_ends_frees_its_slot_and_decides_nothing() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    let request = RequestInfo::default().open_ended(true);
    assert!(pass(&breaker, &request, Verdict::cancelled()));
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    assert!(pass(&breaker, &request, Verdict::success()));
    assert_eq!(breaker.snapshot().state, State::Closed);
}

// One resource that fails is no outage of the service.

fn rules() -> [Trip; 4] {
    let few = [1, 2, 5].map(Trip::ConsecutiveFailures);
    [few[0], few[1], few[2], Trip::Cusum(sandtower_circuit_breaker::Cusum::default())]
}

fn about(resource: u64) -> RequestInfo {
    RequestInfo::default().resource(Some(Resource::new(resource)))
}

/// Lets a call about each of `resources` fail each second for a while; whether it opened.
async fn opens(trip: Trip, resources: &[u64], between: impl Fn(&CircuitBreaker, u64)) -> bool {
    let breaker = Config::recommended("E2B").trip(trip).build().unwrap();
    for second in 0..200 {
        for &resource in resources {
            pass(&breaker, &about(resource), Verdict::unknown());
        }
        between(&breaker, second);
        advance(SECOND).await;
    }
    breaker.snapshot().counters.trips > 0
}

#[tokio::test(start_paused = true)]
async fn one_or_two_resources_that_always_fail_never_open_it_under_any_rule() {
    for trip in rules() {
        assert!(!opens(trip, &[1], |_, _| {}).await, "{trip:?}");
        assert!(!opens(trip, &[1, 2], |_, _| {}).await, "{trip:?}");
        assert!(!opens(trip, &[1, 1, 1, 2, 2], |_, _| {}).await, "{trip:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_resource_that_always_fails_beside_healthy_ones_that_rarely_fail_never_opens_it() {
    for trip in [Trip::ConsecutiveFailures(5), Trip::Cusum(Default::default())] {
        let others = |breaker: &CircuitBreaker, second: u64| {
            let verdict =
                if second.is_multiple_of(20) { Verdict::unknown() } else { Verdict::success() };
            assert!(pass(breaker, &about(100 + second), verdict), "{trip:?} at {second} s");
        };
        assert!(!opens(trip, &[1], others).await, "{trip:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_resources_that_fail_open_it_under_any_rule() {
    for trip in rules() {
        assert!(opens(trip, &[1, 2, 3], |_, _| {}).await, "{trip:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_name_no_resource_open_it_as_ever() {
    let breaker = CircuitBreaker::classic("E2B");
    for _ in 0..FAILURES {
        breaker.not_ready(&Verdict::unknown(), &Now::new(), &mut Default::default());
    }
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn once_the_service_is_healthy_again_the_resources_that_failed_are_forgotten() {
    let breaker = Config::classic("E2B").trip(Trip::ConsecutiveFailures(2)).build().unwrap();
    for _ in 0..10 {
        assert!(pass(&breaker, &about(1), Verdict::unknown()));
        assert!(pass(&breaker, &about(2), Verdict::unknown()));
        assert!(pass(&breaker, &about(3), Verdict::success()));
    }
    assert_eq!(breaker.snapshot().counters.trips, 0);
    assert_eq!(breaker.snapshot().counters.failed, 20, "all of them are counted");
}
