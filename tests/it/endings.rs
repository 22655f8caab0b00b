//! Responses whose outcome is known only at their end: which layers hear of it, and which do not wait for it.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use sandtower::admission::{AdmissionControl, AdmissionLayer, Config as Waiting};
use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakerLayer, Config, State, Trip};
use sandtower::core::BoxError;
use sandtower::e2b::{E2bClassify, E2bInterpret};
use sandtower_http::{GrpcClassify, GrpcInterpret, InterpretLayer, Interpreted};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// The frames of one stream.
type Stream = VecDeque<Frame<Bytes>>;

struct Frames(Stream);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn envelope(flags: u8, message: &str) -> Frame<Bytes> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    Frame::data([&[flags], &length[..], message.as_bytes()].concat().into())
}

/// The response of a command that started, and then these frames.
fn command(end: &str) -> Response<Frames> {
    let frames = [envelope(0, r#"{"event":{"start":{"pid":7}}}"#), envelope(2, end)];
    let response = Response::builder().header("content-type", "application/connect+json");
    response.body(Frames(frames.into())).unwrap()
}

const FAILED: &str = r#"{"error":{"code":"internal","message":"the node is going away"}}"#;

fn start() -> Request<()> {
    start_in("i0abc")
}

fn start_in(sandbox: &str) -> Request<()> {
    let uri = format!("https://49983-{sandbox}.e2b.app/process.Process/Start");
    Request::post(uri).body(()).unwrap()
}

/// A breaker that opens at the second failure in a row, of three sandboxes; half-open after a second.
fn breaker() -> CircuitBreaker {
    let config = Config::classic("E2B").trip(Trip::ConsecutiveFailures(2));
    config.open_for(Duration::from_secs(1)).build().unwrap()
}

fn commands(
    breaker: &CircuitBreaker,
    end: &'static str,
) -> impl Service<Request<()>, Response = Response<Interpreted<Frames>>, Error = BoxError> + Clone {
    ServiceBuilder::new()
        .layer(CircuitBreakerLayer::from_breaker(breaker.clone()).classify(E2bClassify))
        .layer(InterpretLayer::new(E2bInterpret::default()))
        .service(service_fn(move |_| async move { Ok::<_, Infallible>(command(end)) }))
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_after_its_head_is_a_failure_once_it_is_read() {
    let breaker = breaker();
    let service = commands(&breaker, FAILED);
    for failed in 1..=3 {
        let start = start_in(&format!("i{failed}"));
        let response = service.clone().oneshot(start).await.unwrap();
        assert_eq!(breaker.snapshot().state, State::Closed, "the failure shows only at the end");
        response.into_body().collect().await.unwrap();
        assert_eq!(breaker.snapshot().counters.failed, failed);
    }
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_head_counts_for_a_stream_that_is_not_read_to_its_end() {
    let breaker = breaker();
    let service = commands(&breaker, FAILED);
    for _ in 0..10 {
        let mut body = service.clone().oneshot(start()).await.unwrap().into_body();
        let _first = body.frame().await.unwrap().unwrap();
    }
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(breaker.snapshot().counters.succeeded, 10);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_exceeds_its_timeout_is_no_failure_of_the_service() {
    let breaker = breaker();
    let service = commands(&breaker, r#"{"error":{"code":"deadline_exceeded","message":""}}"#);
    for _ in 0..10 {
        service.clone().oneshot(start()).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!((breaker.snapshot().state, breaker.snapshot().counters.failed), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_classified_by_its_head_because_others_wait_for_it() {
    let breaker = breaker();
    let service = commands(&breaker, FAILED);
    breaker.force_open();
    breaker.release();
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    let _unread = service.oneshot(start()).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_trailers_of_grpc_count() {
    let breaker = breaker();
    let service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::from_breaker(breaker.clone()).classify(GrpcClassify::default()))
        .layer(InterpretLayer::new(GrpcInterpret))
        .service(service_fn(|_: Request<()>| async {
            let unavailable = HeaderMap::from_iter([(
                "grpc-status".parse().unwrap(),
                HeaderValue::from_static("14"),
            )]);
            let frames = [Frame::data("a message".into()), Frame::trailers(unavailable)];
            let response = Response::builder().header("content-type", "application/grpc+proto");
            Ok::<_, Infallible>(response.body(Frames(frames.into())).unwrap())
        }));
    for _ in 0..2 {
        let request = Request::post("/orders.v1.Orders/Watch").body(()).unwrap();
        service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(breaker.snapshot().state, State::Open);
}

/// How many slots a stream holds between its head and its end, and after it; and what the breaker in
/// admission control heard.
async fn slots_of_a_stream(config: Waiting) -> ([u32; 2], u64) {
    let breaker = breaker();
    let admission = AdmissionLayer::with_gates(config, breaker.clone()).unwrap();
    let room = admission.control().clone();
    let held = |room: &AdmissionControl<CircuitBreaker>| room.snapshot().queues[0].in_flight;
    let service = ServiceBuilder::new()
        .layer(admission.classify(E2bClassify))
        .layer(InterpretLayer::new(E2bInterpret::default()))
        .service(service_fn(|_| async { Ok::<_, Infallible>(command(FAILED)) }));
    let response = service.oneshot(start()).await.unwrap();
    let at_the_head = held(&room);
    response.into_body().collect().await.unwrap();
    ([at_the_head, held(&room)], breaker.snapshot().counters.failed)
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_released_at_the_head_or_the_end_of_a_stream_as_configured() {
    assert_eq!(slots_of_a_stream(Waiting::new("E2B")).await, ([0, 0], 1));
    assert_eq!(slots_of_a_stream(Waiting::new("E2B").slots_to_the_end(true)).await, ([1, 0], 1));
}
