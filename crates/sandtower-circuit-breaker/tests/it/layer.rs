//! The layer: how it is built, and how it stands between other services of tower.

use std::time::Duration;

use sandtower_circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, CircuitBreakers, Config, Scopes, State,
};
use sandtower_core::{BoxError, Rejection, RequestInfo, Scope, Verdict, classify_fn, find};
use sandtower_testkit::Mock;
use tokio::time::{advance, timeout};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn,
    steer::Steer,
};

use crate::support::{OPEN, call, rejection};

#[tokio::test(start_paused = true)]
async fn a_layer_needs_no_more_than_a_name() {
    let layer = CircuitBreakerLayer::new("search");
    let service = layer.layer(service_fn(async |_: u64| Err::<u64, _>("down")));
    for _ in 0..7 {
        service.clone().oneshot(1).await.unwrap_err();
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(layer.breaker().snapshot().counters.trips, 1);
    assert_eq!(layer.breaker().name(), "search");
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_a_failure_can_be_said_in_a_line() {
    let config = Config::classic("search");
    let layer = CircuitBreakerLayer::try_from(config).unwrap().failure_if(|code: &u64| *code > 499);
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .service_fn(async |code: u64| if code == 0 { Err("no connection") } else { Ok(code) });
    for code in [200, 500, 499, 503, 0] {
        let _ = service.clone().oneshot(code).await;
    }
    let counters = layer.breaker().snapshot().counters;
    assert_eq!((counters.succeeded, counters.failed), (2, 3));
    // A future of it can be sent to another thread.
    tokio::spawn(service.oneshot(200)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_an_existing_breaker_shares_it() {
    let breaker = CircuitBreaker::recommended("search");
    let (mock, _handle) = Mock::always(7);
    let service = CircuitBreakerLayer::from(breaker.clone()).layer(mock);
    breaker.force_open();
    rejection(call(&service).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_ready_since_it_was_open_passes_calls_a_day_after_the_reset() {
    let breaker = CircuitBreaker::classic("E2B");
    let (mock, handle) = Mock::always(7);
    let service = CircuitBreakerLayer::from_breaker(breaker.clone()).layer(mock);
    let mut steer = Steer::new([service], |_: &u64, _: &[_]| 0);
    breaker.force_open();
    steer.ready().await.unwrap();
    breaker.reset();
    advance(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(steer.call(1).await.unwrap(), 7);
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_ready_since_it_was_open_sends_one_probe_when_its_time_is_over() {
    let breaker = CircuitBreaker::classic("E2B");
    let (mock, handle) = Mock::always(7);
    let service = CircuitBreakerLayer::from_breaker(breaker.clone()).layer(mock);
    let mut clones = [service.clone(), service.clone(), service.clone()];
    crate::support::trip(&service, &handle).await;
    let before = handle.counts().calls;
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    advance(OPEN).await;
    let calls = clones.each_mut().map(|clone| clone.call(1));
    let mut served = 0;
    for call in calls {
        served += u64::from(call.await.is_ok());
    }
    assert_eq!((served, handle.counts().calls - before), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_rejected_gives_up_what_it_had_reserved_below() {
    let by_scope = classify_fn(
        |request: &u64| RequestInfo::default().scope(Scope::new(*request)),
        |_: Result<&u64, &BoxError>| Verdict::success(),
    );
    let breakers = CircuitBreakers::new(Config::classic("E2B"), Scopes::default()).unwrap();
    let layer = CircuitBreakerLayer::scoped(breakers.clone()).classify(by_scope);
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let inner = ConcurrencyLimitLayer::new(2).layer(mock);
    let service = layer.layer(inner);
    let (dead, healthy) = (1, 2);
    breakers.of(Scope::new(dead)).force_open();

    let mut idle = [service.clone(), service.clone()];
    for clone in &mut idle {
        let error = clone.ready().await.unwrap().call(dead).await.unwrap_err();
        assert!(find::<Rejection>(&*error).is_some());
    }
    let call = service.oneshot(healthy);
    assert_eq!(timeout(OPEN, call).await.expect("it does not hang").unwrap(), 7);
    assert_eq!(breakers.of(Scope::new(healthy)).snapshot().state, State::Closed);
}
