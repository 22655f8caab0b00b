//! What a call costs in allocations.

use std::{
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakerLayer, Config};
use sandtower_core::{Completion, Deferred, Gate, Now, RequestInfo, Tick, Verdict};
use sandtower_testkit::{CountingAllocator, allocations};
use tower::Layer;
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

/// Responds at once, with what it was sent.
#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = std::io::Error;
    type Future = Ready<Result<u64, std::io::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// One whole call, without a runtime; whether it succeeded.
fn call<S: Service<u64>>(service: &mut S) -> bool {
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(cx), Poll::Ready(Ok(()))));
    match pin!(service.call(7)).poll(cx) {
        Poll::Ready(result) => result.is_ok(),
        Poll::Pending => panic!("nothing here has to be waited for"),
    }
}

#[test]
fn a_call_that_succeeds_allocates_nothing() {
    let layer = CircuitBreakerLayer::from_breaker(CircuitBreaker::classic("E2B"));
    let mut service = layer.layer(Echo);
    assert!(call(&mut service));
    assert_eq!(allocations(|| (0..100).all(|_| call(&mut service))), 0);
}

#[test]
fn neither_failures_nor_successes_are_remembered_one_by_one() {
    let breaker = Config::recommended("E2B").build().unwrap();
    let (info, mut now) = (RequestInfo::default(), Tick::now());
    let mut call = |verdict| {
        now += Duration::from_millis(1);
        let mut later = Deferred::new();
        let permit = breaker.try_acquire(&info, &Now::at(now), &mut later).unwrap();
        breaker.record(&info, permit, &Completion::new(verdict, now, now), &mut later);
    };
    let calls = || {
        for _ in 0..10_000 {
            call(Verdict::unknown());
            (0..3).for_each(|_| call(Verdict::success()));
        }
    };
    assert_eq!(allocations(calls), 0);
}

#[test]
fn a_rejection_allocates_its_error_and_nothing_else() {
    let layer = CircuitBreakerLayer::from_breaker(CircuitBreaker::classic("E2B"));
    let mut service = layer.layer(Echo);
    layer.breaker().force_open();
    // The first of ten seconds is logged.
    call(&mut service);
    assert_eq!(allocations(|| call(&mut service)), 1);
}
