//! A call that needs no alternative does not allocate.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sandtower_core::{BoxError, ByResult};
use sandtower_fallback::{Failed, Failover, FailoverConfig, FallbackLayer};
use sandtower_testkit::allocations;
use tower::{Layer, Service};

/// Responds with the request.
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
        let response = pin!(service.call(7)).poll(cx);
        assert!(matches!(response, Poll::Ready(Ok(7))));
    })
}

#[test]
fn a_call_that_succeeds_at_first_allocates_nothing() {
    let classify = ByResult::default();
    let respond = FallbackLayer::respond("none", |_: &Failed<'_, u64>| Some(0), classify);
    assert_eq!(allocated(respond.layer(Echo)), 0);
    assert_eq!(allocated(FallbackLayer::to("spare", Echo, classify).layer(Echo)), 0);
    let again = |request: u64, _: &Failed<'_, u64>| Some(request);
    assert_eq!(allocated(FallbackLayer::rewrite("again", again, classify).layer(Echo)), 0);
    let places = [("a", Echo), ("b", Echo)];
    let places = Failover::new(FailoverConfig::new("places"), places, classify);
    assert_eq!(allocated(places.expect("two places")), 0);
}
