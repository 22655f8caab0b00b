//! Services that fail when told to, and words for what is expected of them.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use sandtower_circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, CircuitBreakerService, Config,
};
use sandtower_core::{BoxError, Reason, Rejection, find};
use sandtower_testkit::{Answer, Handle, Mock};
use tower::{Layer, ServiceExt};

pub(crate) type Service = CircuitBreakerService<Mock>;

/// Of the preset `original`.
pub(crate) const OPEN: Duration = Duration::from_secs(60);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const FAILURES: u64 = 5;

/// A service behind a breaker of the preset `original`, which answers with 7.
pub(crate) fn classic() -> (CircuitBreaker, Service, Handle) {
    behind(CircuitBreaker::classic("E2B"))
}

pub(crate) fn configured(config: Config) -> (CircuitBreaker, Service, Handle) {
    behind(config.build().unwrap())
}

fn behind(breaker: CircuitBreaker) -> (CircuitBreaker, Service, Handle) {
    let (mock, handle) = Mock::always(7);
    let service = CircuitBreakerLayer::new(breaker.clone()).layer(mock);
    (breaker, service, handle)
}

/// One call, from readiness to answer, by a clone of its own.
pub(crate) async fn call(service: &Service) -> Result<u64, BoxError> {
    service.clone().oneshot(1).await
}

/// Lets as many calls fail as it takes to open a breaker of the preset `original`.
pub(crate) async fn trip(service: &Service, handle: &Handle) {
    handle.set_answers(|_, _| Answer::err("down"));
    for _ in 0..FAILURES {
        call(service).await.unwrap_err();
    }
    handle.set_answers(|_, _| Answer::ok(7));
}

/// The rejection in `result`.
pub(crate) fn rejection(result: Result<u64, BoxError>) -> Rejection {
    find::<Rejection>(&*result.expect_err("a rejection")).expect("a rejection").clone()
}

pub(crate) fn is_probing(result: Result<u64, BoxError>) -> bool {
    rejection(result).reason() == Reason::Probing
}

/// Polls once, and drops what is not ready.
pub(crate) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Lets spawned tasks do what they can.
pub(crate) async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}
