//! What the recommended stack allocates for a call that succeeds.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

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

/// The future of the erased transport, and the body that it answers with; and where the end of a body
/// counts, what reads it along.
const TRANSPORT: std::ops::RangeInclusive<u64> = 2..=3;

const SOON: Tick = Tick::from_nanos(1);

/// Answers at once, and allocates nothing.
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

/// Polled once, as by a runtime whose service answers at once.
fn call<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> bool
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut answer = pin!(service.call(request));
    matches!(answer.as_mut().poll(&mut cx), Poll::Ready(Ok(answer)) if answer.status() == 200)
}

fn request(method: Method, uri: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri).header("x-api-key", "e2b_0123");
    request.body(Full::default()).unwrap()
}

/// No layer allocates anything of its own, and neither does reading what a request is. What is left
/// is the request's: it is told when it arrived and when it has to end, and retry keeps a copy. Both
/// are [`Extensions`](http::Extensions) and header fields, of which `http` keeps each in a box or a
/// table.
#[tokio::test]
async fn a_call_that_succeeds_allocates_what_its_request_and_a_copy_of_it_do() {
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
        // What is made at the first call of an operation is not made at each.
        assert!(call(&mut service, request()), "{method} {uri}");

        let (mut told, sent) = (request(), request());
        let telling = allocations(|| E2bClassify.set_deadline(&mut told, Tick::ZERO, ends));
        let copying = allocations(|| Http.copy(&told));
        let calling = allocations(|| call(&mut service, sent));
        assert!(TRANSPORT.contains(&(calling - telling - copying)), "{calling}: {method} {uri}");
        assert!(calling <= 13, "{calling} in all: {method} {uri}");
        assert_eq!(allocations(|| call(&mut Api, told)), 0);
    }
}
