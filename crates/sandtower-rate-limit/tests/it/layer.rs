//! The rate limit as a layer, on a paused clock.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sandtower_core::{
    Allowance, BoxError, Operation, Rejection, RequestInfo, Verdict, classify_fn, find,
};
use sandtower_rate_limit::{Config, Mode, Pace, PaceLayer, RateLimit, RateLimitLayer};
use sandtower_testkit::{Answer, Contract, Mock, allocations};
use tower::{Layer, Service, ServiceExt, service_fn};

fn enforced() -> Config {
    Config::new("E2B").mode(Mode::Enforce)
}

fn layer(config: Config) -> RateLimitLayer {
    RateLimitLayer::new(RateLimit::new(config).unwrap())
}

#[test]
fn it_keeps_the_tower_contract() {
    Contract::of(|inner| RateLimitLayer::classic().layer(inner)).run();
    let config = || enforced().limit_each(1_000).pace(Operation::CALL, pace());
    Contract::of(move |inner| layer(config()).layer(inner)).run();
}

fn pace() -> Pace {
    Pace::every(Duration::from_millis(1)).burst(1_000)
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_rejected_and_never_sent() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let mut service = layer(enforced().limit_each(1)).layer(mock);
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
async fn a_call_that_was_sent_and_dropped_counts() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Answer::Hang);
    let layer = RateLimitLayer::classic();
    let mut service = layer.layer(mock);
    drop(service.ready().await.unwrap().call(1));
    assert_eq!(layer.handle().status(Operation::CALL).count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_answers_say_is_learned_through_the_classifier() {
    let (mock, _handle) = Mock::<u64, u64>::always(429);
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |_: Result<&u64, &BoxError>| Verdict::throttled().retry_after(Duration::from_secs(3)),
    );
    let layer = layer(enforced()).classify(classify);
    let mut service = layer.layer(mock);
    assert!(service.ready().await.unwrap().call(1).await.is_ok());
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    let rejection = find::<Rejection>(&*error).unwrap();
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(4)));
}

#[test]
fn a_call_whose_answer_teaches_allocates_nothing() {
    let told = Allowance::new(1_000_000, 999_999, Duration::from_secs(1));
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        move |_: Result<&u64, &BoxError>| Verdict::success().allowance(told),
    );
    let inner = service_fn(|request: u64| std::future::ready(Ok::<_, BoxError>(request)));
    let mut service = layer(enforced()).classify(classify).layer(inner);
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
fn a_call_that_paces_and_need_not_wait_allocates_nothing() {
    let config = enforced().pace(Operation::CALL, pace());
    let inner = service_fn(|request: u64| std::future::ready(Ok::<_, BoxError>(request)));
    let mut service = PaceLayer::new(RateLimit::new(config).unwrap()).layer(inner);
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
    let config = enforced().limit_each(1_000_000).pace(Operation::CALL, pace());
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
