//! The rate limit as a layer, on a paused clock.

use std::num::NonZeroU32;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sandtower_core::{
    Allowance, BoxError, ByResult, Operation, Rejection, RequestInfo, Verdict, classify_fn, find,
};
use sandtower_rate_limit::{Config, Pace, RateLimit, RateLimitLayer};
use sandtower_testkit::{Answer, Contract, Mock, allocations};
use tower::{Layer, Service, ServiceExt, service_fn};

fn layer(config: Config) -> RateLimitLayer {
    RateLimitLayer::new(RateLimit::new(config).unwrap(), ByResult::default())
}

#[test]
fn it_keeps_the_tower_contract() {
    Contract::of(|inner| RateLimitLayer::classic(ByResult::default()).layer(inner)).run();
    let config = || Config::new("E2B").limit_each(1_000).pace(Operation::CALL, pace());
    Contract::of(move |inner| layer(config()).layer(inner)).run();
}

fn pace() -> Pace {
    Pace::every(Duration::from_millis(1)).burst(1_000)
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_rejected_and_never_sent() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let mut service = layer(Config::new("E2B").limit_each(1)).layer(mock);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 7);
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    let rejection = find::<Rejection>(&*error).unwrap();
    assert_eq!(
        rejection.to_string(),
        "rate limit `E2B` is over its limit: 1 of 1 used; retry in 3657 s"
    );
    tokio::time::advance(rejection.retry_after().unwrap()).await;
    assert!(service.ready().await.unwrap().call(1).await.is_ok());
    assert_eq!(handle.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_layer_with_a_limit_rejects_what_is_beyond_it_without_further_settings() {
    let five = NonZeroU32::new(5).unwrap();
    let configured = |config: Config| layer(config.limit_each(5));
    for (layer, expected) in [
        (RateLimitLayer::per_second(five), 5),
        (RateLimitLayer::per_minute(five), 5),
        (configured(Config::new("E2B")), 5),
        (layer(Config::new("E2B").limit(Operation::CALL, 7)), 7),
        (layer(Config::new("E2B").pace(Operation::CALL, Pace::every(Duration::from_secs(1)))), 1),
        (RateLimitLayer::classic(ByResult::default()), 1_000),
    ] {
        let (mock, handle) = Mock::<u64, u64>::always(7);
        let mut service = layer.layer(mock);
        for _ in 0..1_000 {
            let _ = service.ready().await.unwrap().call(1).await;
        }
        assert_eq!(handle.counts().calls, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_a_second_are_so_many_in_the_long_run() {
    let layer = RateLimitLayer::per_second(NonZeroU32::new(5).unwrap());
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let mut service = layer.layer(mock);
    for _ in 0..1_000 {
        let _ = service.ready().await.unwrap().call(1).await;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!((50..=55).contains(&handle.counts().calls), "{:?}", handle.counts());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_sent_and_dropped_counts() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Answer::Hang);
    let layer = RateLimitLayer::classic(ByResult::default());
    let mut service = layer.layer(mock);
    drop(service.ready().await.unwrap().call(1));
    assert_eq!(layer.handle().status(Operation::CALL).count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_responses_say_is_learned_through_the_classifier() {
    let (mock, _handle) = Mock::<u64, u64>::always(429);
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |_: Result<&u64, &BoxError>| Verdict::throttled().retry_after(Duration::from_secs(3)),
    );
    let layer = RateLimitLayer::new(RateLimit::new(Config::new("E2B")).unwrap(), classify);
    let mut service = layer.layer(mock);
    assert!(service.ready().await.unwrap().call(1).await.is_ok());
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    let rejection = find::<Rejection>(&*error).unwrap();
    let after = rejection.retry_after().unwrap();
    assert!(after >= Duration::from_secs(3) && after <= Duration::from_secs(4), "{after:?}");
}

#[test]
fn a_call_whose_response_teaches_allocates_nothing() {
    let told = Allowance::new(1_000_000, 999_999, Duration::from_secs(1));
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        move |_: Result<&u64, &BoxError>| Verdict::success().allowance(told),
    );
    let inner = service_fn(|request: u64| std::future::ready(Ok::<_, BoxError>(request)));
    let limit = RateLimit::new(Config::new("E2B")).unwrap();
    let mut service = RateLimitLayer::new(limit, classify).layer(inner);
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut future = std::pin::pin!(service.call(1));
        assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(1))));
    };
    call();
    assert_eq!(allocations(|| (0..100).for_each(|_| call())), 0);
}

#[test]
fn a_call_allocates_nothing_after_the_first_of_its_operation() {
    let config = Config::new("E2B").limit_each(1_000_000).pace(Operation::CALL, pace());
    let inner = service_fn(|request: u64| std::future::ready(Ok::<_, BoxError>(request)));
    let mut service = layer(config).layer(inner);
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut future = std::pin::pin!(service.call(1));
        assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(1))));
    };
    call();
    assert_eq!(allocations(|| (0..100).for_each(|_| call())), 0);
}
