//! Services that fail on demand, and words for what is expected of them.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakerLayer, Config};
use sandtower_core::{
    BoxError, ByResult, Completion, Deferred, Gate, Gated, No, Now, Reason, Rejection, RequestInfo,
    Tick, Verdict, find,
};
use sandtower_testkit::{Answer, Handle, Mock};
use tower::{Layer, ServiceExt};

pub(crate) type Service = Gated<Mock, CircuitBreaker, ByResult>;

/// Of the preset `classic`.
pub(crate) const OPEN: Duration = Duration::from_secs(60);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const FAILURES: u64 = 5;

/// A service behind a breaker of the preset `classic`, which responds with 7.
pub(crate) fn classic() -> (CircuitBreaker, Service, Handle) {
    behind(CircuitBreaker::classic("E2B"))
}

pub(crate) fn configured(config: Config) -> (CircuitBreaker, Service, Handle) {
    behind(config.build().unwrap())
}

fn behind(breaker: CircuitBreaker) -> (CircuitBreaker, Service, Handle) {
    let (mock, handle) = Mock::always(7);
    let service = CircuitBreakerLayer::from_breaker(breaker.clone()).layer(mock);
    (breaker, service, handle)
}

/// One call, from readiness to response, by a clone of its own.
pub(crate) async fn call(service: &Service) -> Result<u64, BoxError> {
    service.clone().oneshot(1).await
}

/// Lets as many calls fail as it takes to open a breaker of the preset `classic`.
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
    matches!(rejection(result).reason(), Reason::Probing | Reason::Recovering)
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
pub(crate) async fn run_tasks() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Asks a gate for a permit, with nothing known of the request.
pub(crate) fn acquire<G: Gate>(gate: &G) -> Result<G::Permit, No> {
    acquire_for(gate, &RequestInfo::default())
}

pub(crate) fn acquire_for<G: Gate>(gate: &G, request: &RequestInfo) -> Result<G::Permit, No> {
    gate.try_acquire(request, &Now::new(), &mut Deferred::new())
}

/// The attempt ended now, at once.
pub(crate) fn end<G: Gate>(gate: &G, permit: G::Permit, verdict: Verdict) {
    end_for(gate, &RequestInfo::default(), permit, verdict);
}

pub(crate) fn end_for<G: Gate>(
    gate: &G,
    request: &RequestInfo,
    permit: G::Permit,
    verdict: Verdict,
) {
    let now = Tick::now();
    let done = Completion::new(verdict, now, now);
    gate.record(request, permit, &done, &mut Deferred::new());
}

/// The attempt was not sent.
pub(crate) fn not_sent<G: Gate>(gate: &G, permit: G::Permit) {
    let done = Completion::not_sent(Tick::now());
    gate.record(&RequestInfo::default(), permit, &done, &mut Deferred::new());
}

/// One call from permit to `verdict`; whether there was a permit.
pub(crate) fn pass<G: Gate>(gate: &G, request: &RequestInfo, verdict: Verdict) -> bool {
    let permit = acquire_for(gate, request);
    permit.map(|permit| end_for(gate, request, permit, verdict)).is_ok()
}
