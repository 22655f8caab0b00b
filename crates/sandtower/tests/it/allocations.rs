//! What the recommended stack allocates for a call that succeeds.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use sandtower::core::{Resend, Seed, SetDeadline, Tick};
use sandtower::e2b::{Config, E2bClassify};
use sandtower::http::Http;
use sandtower::stack::{Plan, Stack};
use sandtower_testkit::{CountingAllocator, allocations};
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

/// The future and the response body of the erased transport; and, where the end of a body counts, its
/// observer.
const TRANSPORT: std::ops::RangeInclusive<u64> = 2..=3;

const SOON: Tick = Tick::from_nanos(1);

/// Responds at once, without allocating.
#[derive(Clone)]
struct Api;

impl Service<Request<Full<Bytes>>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}

/// Polls once, like a runtime whose service responds at once.
fn call<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> bool
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut response = pin!(service.call(request));
    matches!(response.as_mut().poll(&mut cx), Poll::Ready(Ok(response)) if response.status() == 200)
}

fn request(method: Method, uri: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri).header("x-api-key", "e2b_0123");
    request.body(Full::default()).unwrap()
}

/// No layer allocates on its own, and neither does classifying a request. The rest belongs to the request:
/// its arrival and deadline are set, and retry keeps a copy. Both are [`Extensions`](http::Extensions) and
/// headers, each of which `http` keeps in a box or a table.
#[tokio::test]
async fn a_successful_call_allocates_only_for_its_request_and_one_copy() {
    let config = Config::new("e2b_0123").unwrap();
    let mut service = Stack::seeded(config, Plan::Pro, Seed::fixed(1)).layer(Api);
    for (method, uri, ends) in [
        (Method::GET, "https://api.e2b.app/v2/sandboxes", SOON),
        (Method::GET, "https://api.e2b.app/sandboxes/iabcdefghijklmnopqrst", SOON),
        (Method::POST, "https://api.e2b.app/sandboxes/iabcdefghijklmnopqrst/timeout", SOON),
        (Method::DELETE, "https://api.e2b.app/sandboxes/iabcdefghijklmnopqrst", SOON),
        (Method::GET, "https://49983-iabcdefghijklmnopqrst.e2b.app/files?path=/a", SOON),
        (
            Method::POST,
            "https://49983-iabcdefghijklmnopqrst.e2b.app/filesystem.Filesystem/Stat",
            SOON,
        ),
        (
            Method::POST,
            "https://49983-iabcdefghijklmnopqrst.e2b.app/process.Process/Start",
            Tick::MAX,
        ),
    ] {
        let request = || request(method.clone(), uri);
        // What is allocated at the first call of an operation is not allocated again.
        assert!(call(&mut service, request()), "{method} {uri}");

        let (mut stamped, sent) = (request(), request());
        let stamping = allocations(|| E2bClassify.set_deadline(&mut stamped, Tick::ZERO, ends));
        let copying = allocations(|| Http.copy(&stamped));
        let calling = allocations(|| call(&mut service, sent));
        assert!(TRANSPORT.contains(&(calling - stamping - copying)), "{calling}: {method} {uri}");
        assert!(calling <= 13, "{calling} in total: {method} {uri}");
        assert_eq!(allocations(|| call(&mut Api, stamped)), 0);
    }
}
