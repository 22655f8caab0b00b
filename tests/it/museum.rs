//! Known bugs of similar code that take more than one layer to show.

use std::time::Duration;

use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
use sandtower::core::{
    ByResult, ClassifiedError, Effect, Rejection, Replay, RequestInfo, Tick, Verdict, find,
    verdict_of_error,
};
use sandtower::retry::{self, RetryLayer};
use sandtower::timeout::{Limits, TimeoutLayer};
use sandtower_testkit::{Mock, Reply};
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_creation_that_hangs_is_not_sent_again() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
    let attempt = TimeoutLayer::new(Limits::all(60 * SECOND)).layer(mock);

    let error = RetryLayer::new(retry::Config::recommended(), ByResult::default())
        .layer(attempt)
        .oneshot(1)
        .await
        .unwrap_err();

    assert_eq!(verdict_of_error(&*error), Some(Verdict::transient(Effect::Maybe)));
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_is_sent_again() {
    let (mock, handle) = Mock::<u64, u64>::in_turn([Reply::Hang, Reply::ok(7)]);
    let attempt = TimeoutLayer::new(Limits::all(3 * SECOND)).layer(mock);
    let safe = ByResult::new(RequestInfo::default().replay(Replay::Safe));

    let retry = RetryLayer::new(retry::Config::recommended(), safe).layer(attempt);

    assert_eq!(retry.oneshot(1).await.unwrap(), 7);
    assert_eq!(handle.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn retries_do_not_hammer_an_open_breaker() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| {
        Reply::err(ClassifiedError::new(Verdict::transient(Effect::None), "down"))
    });
    let breaker = CircuitBreaker::classic("E2B");
    let service = RetryLayer::new(retry::Config::classic(), ByResult::default())
        .layer(CircuitBreakerLayer::from_breaker(breaker.clone()).layer(mock));
    for _ in 0..2 {
        service.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!(breaker.snapshot().state.to_string(), "open");
    let (calls, start) = (handle.counts().calls, Tick::now());

    let error = service.oneshot(1).await.unwrap_err();

    assert!(find::<Rejection>(&*error).is_some(), "{error}");
    assert_eq!(Tick::now(), start, "a rejection was waited for");
    assert_eq!(handle.counts().calls, calls);
}
