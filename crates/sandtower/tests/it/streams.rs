//! A stack whose requests may be streams: whole bodies are sent again, streams once.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sandtower::core::{BoxError, Outcome, Seed};
use sandtower::e2b::Config;
use sandtower::http::{RequestBody, verdict_of_transport};
use sandtower::stack::{Plan, Stack, StackService};
use tower::{ServiceExt, service_fn};

fn stack() -> Stack {
    Stack::seeded(Config::new("e2b_0123").unwrap().seed(Seed::fixed(1)), Plan::Pro, Seed::fixed(1))
}

/// Over a service that reads the whole body, and fails the first `failing` times.
fn over(stack: &Stack, failing: u32) -> (StackService<RequestBody>, Arc<AtomicU32>) {
    let sent = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&sent);
    let http = service_fn(move |request: Request<RequestBody>| {
        let number = counter.fetch_add(1, SeqCst);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let mut response = Response::new(Full::new(body));
            if number < failing {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, BoxError>(response)
        }
    });
    (stack.service(http), sent)
}

fn write_file(body: RequestBody) -> Request<RequestBody> {
    let request = Request::builder().method(Method::POST).uri("https://49983-i0.e2b.app/files");
    request.body(body).unwrap()
}

/// A caller's upload that breaks off.
struct Aborted;

impl http_body::Body for Aborted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_body_is_sent_again() {
    let (service, sent) = over(&stack(), 2);
    let response = service.oneshot(write_file(RequestBody::whole("text"))).await.unwrap();
    assert_eq!((response.status(), sent.load(SeqCst)), (StatusCode::OK, 3));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "text");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_sent_once() {
    let (service, sent) = over(&stack(), 2);
    let stream = RequestBody::stream(Full::<Bytes>::from("text"));
    let response = service.oneshot(write_file(stream)).await.unwrap();
    assert_eq!((response.status(), sent.load(SeqCst)), (StatusCode::SERVICE_UNAVAILABLE, 1));
}

#[tokio::test(start_paused = true)]
async fn aborted_uploads_open_no_breaker() {
    let stack = stack();
    let (service, sent) = over(&stack, 0);
    for number in 0..100 {
        let uri = format!("https://49983-i{number}.e2b.app/files");
        let mut request = write_file(RequestBody::stream(Aborted));
        *request.uri_mut() = uri.parse().unwrap();
        let error = service.clone().oneshot(request).await.unwrap_err();
        assert_eq!(verdict_of_transport(&*error).outcome, Outcome::Cancelled);
    }
    assert_eq!(sent.load(SeqCst), 100);
    let breaker = stack.handles().data_plane_breaker.snapshot();
    assert_eq!(breaker.state.label(), "closed", "{breaker:?}");
}
