//! A call that needs no alternative allocates nothing.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sandtower_core::BoxError;
use sandtower_fallback::{Failed, Failover, FailoverConfig, FallbackLayer};
use sandtower_testkit::{CountingAllocator, allocations};
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

/// Answers with the request.
#[derive(Clone, Copy)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

fn allocated<S>(mut service: S) -> u64
where
    S: Service<u64, Response = u64, Error = BoxError>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    allocations(|| {
        assert!(service.poll_ready(cx).is_ready());
        let answer = pin!(service.call(7)).poll(cx);
        assert!(matches!(answer, Poll::Ready(Ok(7))));
    })
}

#[test]
fn a_call_that_succeeds_at_first_allocates_nothing() {
    let answer = FallbackLayer::answer("none", |_: &Failed<'_, u64>| Some(0));
    assert_eq!(allocated(answer.layer(Echo)), 0);
    assert_eq!(allocated(FallbackLayer::to("spare", Echo).layer(Echo)), 0);
    let again = |request: u64, _: &Failed<'_, u64>| Some(request);
    assert_eq!(allocated(FallbackLayer::rewrite("again", again).layer(Echo)), 0);
    let places = Failover::new(FailoverConfig::new("places"), [("a", Echo), ("b", Echo)]);
    assert_eq!(allocated(places.expect("two places")), 0);
}
