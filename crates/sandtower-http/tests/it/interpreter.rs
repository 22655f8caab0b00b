//! The interpreter from both sides: what the hook sees, and what the caller gets.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, response::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use pin_project_lite::pin_project;
use proptest::prelude::*;
use sandtower_core::{Effect, EndOfStream, Verdict};
use sandtower_http::{Excerpt, Interpret, InterpretLayer};
use sandtower_testkit::{Exchange, allocations};
use tower::{Layer, Service, ServiceExt, service_fn};

/// One step of a scripted body.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Data(Vec<u8>),
    Trailers,
    Fail,
    Pending,
}

fn data(text: &str) -> Step {
    Step::Data(text.into())
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("checksum".parse().unwrap(), HeaderValue::from_static("1"))])
}

pin_project! {
    /// A body that follows its script; not `Unpin`, to be awkward.
    struct Scripted {
        steps: VecDeque<Step>,
        #[pin]
        _pinned: PhantomPinned,
    }
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), _pinned: PhantomPinned }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.project().steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data.into()))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::Fail) => Some(Err("the connection broke")),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.steps.iter().map(|step| match step {
            Step::Data(data) => data.len() as u64,
            _ => 0,
        });
        SizeHint::with_exact(len.sum())
    }
}

/// Records what it is shown.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Vec<Shown>>>);

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    path: String,
    body: Vec<u8>,
    complete: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Mark;

impl Interpret for Witness {
    type Memo = String;

    fn remember<B>(&self, request: &Request<B>) -> String {
        request.uri().path().to_owned()
    }

    fn read(&self, memo: &String, head: &mut Parts, body: Excerpt<'_>) {
        head.extensions.insert(Mark);
        self.0.lock().unwrap().push(Shown {
            path: memo.clone(),
            body: body.bytes.to_vec(),
            complete: body.complete,
        });
    }
}

/// The frames that the caller gets.
async fn drain<B: Body<Data = Bytes, Error = &'static str>>(body: B) -> Vec<Step> {
    let mut body = Box::pin(body);
    let mut steps = Vec::new();
    while let Some(frame) = body.frame().await {
        steps.push(match frame {
            Err(_) => Step::Fail,
            Ok(frame) => match frame.into_data() {
                Ok(data) => Step::Data(data.to_vec()),
                Err(_) => Step::Trailers,
            },
        });
    }
    steps
}

/// The response with `status` and `body` through an interpreter with this `cap`: whether it was marked,
/// what the witness saw, the size hint, and the frames.
async fn through(
    status: u16,
    body: &[Step],
    cap: usize,
) -> (bool, Option<Shown>, SizeHint, Vec<Step>) {
    let witness = Witness::default();
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::new(Scripted::new(body.to_vec()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        ready(Ok::<_, Infallible>(response))
    });
    let service = InterpretLayer::new(witness.clone()).cap(cap).layer(inner);
    let response = service.oneshot(Request::get("/asked").body(()).unwrap()).await.unwrap();
    let marked = response.extensions().get::<Mark>().is_some();
    let hint = response.body().size_hint();
    let read = drain(response.into_body()).await;
    let shown = witness.0.lock().unwrap().pop();
    (marked, shown, hint, read)
}

fn shown(body: &str, complete: bool) -> Option<Shown> {
    Some(Shown { path: "/asked".into(), body: body.into(), complete })
}

#[tokio::test]
async fn a_success_passes_unchanged() {
    let body = [data("first"), Step::Pending, data("second"), Step::Trailers];
    let (marked, shown, hint, read) = through(200, &body, 1_000).await;
    assert!(!marked);
    assert_eq!(shown, None);
    assert_eq!(hint.exact(), Some(11));
    assert_eq!(read, [data("first"), data("second"), Step::Trailers]);
}

#[tokio::test]
async fn a_failure_goes_to_the_hook_as_a_whole_and_then_to_the_caller() {
    let body = [Step::Pending, data("not "), Step::Pending, data("now"), Step::Trailers];
    let (marked, seen, hint, read) = through(429, &body, 1_000).await;
    assert!(marked);
    assert_eq!(seen, shown("not now", true));
    assert_eq!(hint.exact(), Some(7));
    assert_eq!(read, [data("not "), data("now"), Step::Trailers]);
}

#[tokio::test]
async fn an_empty_failure_is_shown_too() {
    let (_, seen, hint, read) = through(503, &[], 1_000).await;
    assert_eq!(seen, shown("", true));
    assert_eq!(hint.exact(), Some(0));
    assert_eq!(read, []);
}

#[tokio::test]
async fn nothing_is_read_beyond_the_cap_and_nothing_is_lost() {
    let body = [data("0123456"), data("789"), data("beyond"), Step::Trailers];
    let (_, seen, hint, read) = through(500, &body, 8).await;
    assert_eq!(seen, shown("01234567", false));
    assert_eq!(hint.exact(), Some(16));
    assert_eq!(read, body);
}

#[tokio::test]
async fn a_body_as_long_as_the_cap_is_complete() {
    let (_, seen, ..) = through(500, &[data("01234567")], 8).await;
    assert_eq!(seen, shown("01234567", true));
}

#[tokio::test]
async fn an_error_while_reading_follows_the_frames_before_it() {
    let (_, seen, hint, read) = through(500, &[data("half"), Step::Fail], 1_000).await;
    assert_eq!(seen, shown("half", false));
    assert!(hint.lower() >= 4);
    assert_eq!(read, [data("half"), Step::Fail]);
}

#[tokio::test]
async fn endless_empty_frames_do_not_block_the_call() {
    let body = vec![data(""); 100_000];
    let (_, seen, _, read) = through(500, &body, 8).await;
    assert_eq!(seen, shown("", false));
    assert_eq!(read.len(), body.len());
}

#[tokio::test]
async fn debug_shows_no_body() {
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::new(Scripted::new([data("tok_secret"), data("rest")]));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        ready(Ok::<_, Infallible>(response))
    });
    let service = InterpretLayer::new(Witness::default()).layer(inner);
    let response = service.oneshot(Request::new(())).await.unwrap();
    let debug = format!("{response:?}");
    assert!(debug.contains("bytes: 14"), "{debug}");
    assert!(!debug.contains("tok_secret"), "{debug}");
}

/// The contract over an inner service whose responses all have this status.
fn keeps_the_tower_contract(status: StatusCode) {
    let response = move |number: u64| {
        let mut response = Response::new(Full::from(number.to_string()));
        *response.status_mut() = status;
        response.extensions_mut().insert(number);
        response
    };
    Exchange::new(Request::new, response)
        .contract(
            |inner| InterpretLayer::new(Witness::default()).layer(inner),
            |response| *response.extensions().get().unwrap(),
        )
        .run();
}

#[test]
fn keeps_the_tower_contract_over_responses_that_pass_unchanged() {
    keeps_the_tower_contract(StatusCode::OK);
}

#[test]
fn keeps_the_tower_contract_over_responses_that_are_read() {
    keeps_the_tower_contract(StatusCode::BAD_GATEWAY);
}

/// Reads failures and remembers nothing.
#[derive(Clone, Copy)]
struct Plain;

impl Interpret for Plain {
    type Memo = ();

    fn remember<B>(&self, _request: &Request<B>) {}

    fn read(&self, (): &(), _head: &mut Parts, _body: Excerpt<'_>) {}
}

#[test]
fn a_response_that_passes_unchanged_does_not_allocate() {
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::from(Bytes::from_static(b"fine")))))
    });
    let mut service = InterpretLayer::new(Plain).layer(inner);
    let cx = &mut Context::from_waker(Waker::noop());
    let allocated = allocations(|| {
        assert!(Service::<Request<()>>::poll_ready(&mut service, cx).is_ready());
        pin!(service.call(Request::new(()))).poll(cx)
    });
    assert_eq!(allocated, 0);
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Data),
        2 => Just(Step::Pending),
    ];
    let end = prop_oneof![Just(None), Just(Some(Step::Trailers)), Just(Some(Step::Fail))];
    (proptest::collection::vec(step, 0..12), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

/// Observes every body, and has no verdict on it.
#[derive(Clone, Copy)]
struct Along;

impl sandtower_http::ReadEnd for Along {
    fn data(&mut self, _piece: &Bytes) {}

    fn verdict(self: Box<Self>) -> Option<Verdict> {
        None
    }
}

impl Interpret for Along {
    type Memo = ();

    fn remember<B>(&self, _request: &Request<B>) {}

    fn read(&self, (): &(), _head: &mut Parts, _body: Excerpt<'_>) {}

    fn end(&self, (): &(), _head: &Parts) -> Option<Box<dyn sandtower_http::ReadEnd>> {
        Some(Box::new(*self))
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_reported_to_gates_as_a_failure() {
    for (body, verdict) in [
        (vec![data("whole")], Verdict::success()),
        (vec![data("half"), Step::Fail], Verdict::transient(Effect::Maybe)),
        (vec![Step::Fail], Verdict::transient(Effect::Maybe)),
    ] {
        let script = body.clone();
        let inner = service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Scripted::new(script.clone()))))
        });
        let service = InterpretLayer::new(Along).layer(inner);
        let response = service.oneshot(Request::new(())).await.unwrap();
        let (report, verdicts) = std::sync::mpsc::channel();
        let end = response.extensions().get::<EndOfStream>().unwrap().clone();
        end.then(move |verdict| report.send(verdict).unwrap());
        drain(response.into_body()).await;
        assert_eq!(verdicts.recv(), Ok(verdict), "{body:?}");
    }
}

#[tokio::test]
async fn it_panics_if_polled_after_completion() {
    for status in [200, 503] {
        let inner = service_fn(move |_: Request<()>| {
            let mut response = Response::new(Scripted::new([data("body")]));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            ready(Ok::<_, Infallible>(response))
        });
        let mut call = Box::pin(InterpretLayer::new(Plain).layer(inner).call(Request::new(())));
        call.as_mut().await.unwrap();
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(again.is_err(), "{status}");
    }
}

proptest! {
    #[test]
    fn the_caller_gets_the_same_frames_whatever_is_read_ahead(steps in steps(), cap in 0..80_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_, seen, hint, read) = runtime.block_on(through(500, &steps, cap));
        let sent: Vec<Step> = steps.into_iter().filter(|step| *step != Step::Pending).collect();
        prop_assert_eq!(&read, &sent);
        let all: Vec<u8> = sent
            .iter()
            .flat_map(|step| match step {
                Step::Data(data) => data.clone(),
                _ => Vec::new(),
            })
            .collect();
        let seen = seen.unwrap();
        prop_assert!(seen.body.len() <= cap);
        prop_assert!(all.starts_with(&seen.body));
        if seen.complete {
            prop_assert_eq!(&seen.body, &all);
        }
        prop_assert!(hint.lower() <= all.len() as u64);
        prop_assert!(hint.upper().is_none_or(|upper| upper >= all.len() as u64));
    }
}
