//! Bodies that are sent again: the same bytes, whatever happened to the first copy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use pin_project_lite::pin_project;
use proptest::prelude::*;
use sandtower_core::{CallerError, Resend};
use sandtower_http::{NotReplayable, ReplayBody, ReplayLayer, Replayed};
use sandtower_testkit::Exchange;
use tower::{Layer, ServiceExt, service_fn};

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
        // At `Pending` it waits to be woken.
        waits: Option<Arc<Mutex<Option<Waker>>>>,
        #[pin]
        _pinned: PhantomPinned,
    }
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waits: None, _pinned: PhantomPinned }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let this = self.project();
        Poll::Ready(match this.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data.into()))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::Fail) => Some(Err("the disk broke")),
            Some(Step::Pending) => {
                match this.waits {
                    Some(waits) => *waits.lock().unwrap() = Some(cx.waker().clone()),
                    None => cx.waker().wake_by_ref(),
                }
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

fn poll<B>(body: &mut ReplayBody<B>, waker: &Waker) -> Poll<Option<Step>>
where
    B: Body<Data = Bytes, Error = &'static str>,
{
    let response = Pin::new(body).poll_frame(&mut Context::from_waker(waker));
    response.map(|frame| {
        Some(match frame? {
            Err(error) if error.is::<NotReplayable>() => data("cannot be sent again"),
            Err(error) => {
                assert!(error.is::<CallerError>(), "{error:?}");
                Step::Fail
            }
            Ok(frame) => match frame.into_data() {
                Ok(data) => Step::Data(data.to_vec()),
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap(), trailers());
                    Step::Trailers
                }
            },
        })
    })
}

/// The next step that is no `Pending`.
fn next(body: &mut ReplayBody<Scripted>) -> Option<Step> {
    loop {
        if let Poll::Ready(step) = poll(body, Waker::noop()) {
            return step;
        }
    }
}

fn all(mut body: ReplayBody<Scripted>) -> Vec<Step> {
    std::iter::from_fn(|| next(&mut body)).collect()
}

#[test]
fn a_copy_sends_the_same_frames_trailers_included() {
    let script = [data("one"), Step::Pending, data("two"), Step::Trailers];
    let first = ReplayBody::new(Scripted::new(script));
    let (second, third) = (first.clone(), first.clone());
    let sent = [data("one"), data("two"), Step::Trailers];
    assert_eq!(all(first), sent);
    assert_eq!(second.size_hint().exact(), Some(6));
    assert_eq!(all(second), sent);
    assert!(third.is_replayable());
    assert_eq!(all(third), sent);
}

/// A streaming body neither fails before it is first sent, nor is sent again without the frames that the
/// first attempt had read.
#[test]
fn an_attempt_dropped_midway_loses_nothing_of_a_stream() {
    let mut first = ReplayBody::new(Scripted::new([data("one"), data("two"), Step::Trailers]));
    let second = first.clone();
    assert_eq!(next(&mut first), Some(data("one")));
    drop(first);
    assert_eq!(second.size_hint().exact(), Some(6));
    assert_eq!(all(second), [data("one"), data("two"), Step::Trailers]);
}

/// A body that is too long is sent once, whole, and then not at all rather than without its first frames.
#[test]
fn beyond_the_cap_it_is_sent_once_and_reports_it() {
    let first = ReplayBody::capped(Scripted::new([data("12345"), data("6789"), Step::Trailers]), 9);
    let request = Request::new(first);
    let copy = Replayed.copy(&request).unwrap();
    assert_eq!(all(request.into_body()), [data("12345"), data("6789"), Step::Trailers]);
    assert!(!copy.body().is_replayable(), "the trailers did not fit");
    assert!(Replayed.copy(&copy).is_none());
    assert_eq!(all(copy.into_body()), [data("cannot be sent again")]);
}

#[test]
fn a_body_known_to_be_too_long_can_be_sent_again_until_it_is_read() {
    let first = ReplayBody::capped(Scripted::new([data("12345"), data("6789")]), 4);
    let mut second = first.clone();
    drop(first);
    assert!(second.is_replayable(), "for example, the connect failed");
    let third = second.clone();
    assert_eq!(next(&mut second), Some(data("12345")));
    assert!(!third.is_replayable());
    assert_eq!(third.size_hint().exact(), None);
    assert_eq!(next(&mut second), Some(data("6789")));
    assert_eq!(all(third), [data("cannot be sent again")]);
}

#[test]
fn a_body_that_fails_is_not_replayed() {
    let first = ReplayBody::new(Scripted::new([data("one"), Step::Fail]));
    let second = first.clone();
    assert_eq!(all(first), [data("one"), Step::Fail]);
    assert!(!second.is_replayable());
    assert_eq!(all(second), [data("cannot be sent again")]);
}

#[test]
fn endless_tiny_frames_do_not_fill_the_memory() {
    let script = vec![data("x"); 5_000];
    let first = ReplayBody::new(Scripted::new(script.clone()));
    let second = first.clone();
    assert_eq!(all(first), script);
    assert!(!second.is_replayable());
}

#[test]
fn nothing_is_buffered_without_another_copy() {
    let mut alone = ReplayBody::new(Scripted::new([data("one"), data("two")]));
    assert_eq!(next(&mut alone), Some(data("one")));
    assert!(format!("{alone:?}").contains("kept_bytes: None"), "{alone:?}");
    assert!(!alone.is_replayable());
    assert_eq!(next(&mut alone), Some(data("two")));
}

#[test]
fn an_empty_body_is_at_its_end_from_the_start() {
    let empty = ReplayBody::new(Scripted::new([]));
    assert!(empty.is_end_stream());
    assert_eq!(empty.size_hint().exact(), Some(0));
    assert_eq!(all(empty.clone()), []);
    assert!(empty.is_end_stream());
    assert_eq!(all(empty), []);
}

#[test]
fn debug_shows_no_body() {
    let mut body = ReplayBody::new(Scripted::new([data("tok_secret")]));
    let _copy = body.clone();
    next(&mut body);
    let debug = format!("{body:?}");
    assert!(debug.contains("kept_bytes: Some(10)"), "{debug}");
    assert!(!debug.contains("tok_secret"), "{debug}");
}

struct Count(AtomicUsize);

impl Count {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0)))
    }

    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waiting_reader_is_woken_even_if_the_last_poller_never_polls_again() {
    let waits = Arc::new(Mutex::new(None));
    let mut script = Scripted::new([Step::Pending, Step::Pending, data("one")]);
    script.waits = Some(Arc::clone(&waits));
    let (mut first, counts) = (ReplayBody::new(script), [Count::new(), Count::new()]);
    let mut second = first.clone();
    let wakers = [Waker::from(Arc::clone(&counts[0])), Waker::from(Arc::clone(&counts[1]))];

    assert!(poll(&mut first, &wakers[0]).is_pending());
    assert!(poll(&mut second, &wakers[1]).is_pending());
    assert_eq!((counts[0].woken(), counts[1].woken()), (0, 0));
    waits.lock().unwrap().take().unwrap().wake();
    assert_eq!((counts[0].woken(), counts[1].woken()), (1, 1));
    // The second polled last, and is stuck: its connection accepts no more.
    assert_eq!(poll(&mut first, &wakers[0]), Poll::Ready(Some(data("one"))));
    drop(second);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn readers_on_two_threads_lose_neither_bytes_nor_wake_ups() {
    let script: Vec<_> = (0..40_u8)
        .flat_map(|byte| [Step::Pending, Step::Data(vec![byte]), Step::Pending])
        .chain([Step::Trailers])
        .collect();
    for _ in 0..200 {
        let body = ReplayBody::new(Scripted::new(script.clone()));
        let readers = [body.clone(), body].map(|mut body| {
            thread::spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(thread::current())));
                let mut read = Vec::new();
                loop {
                    match poll(&mut body, &waker) {
                        Poll::Ready(Some(step)) => read.push(step),
                        Poll::Ready(None) => return read,
                        Poll::Pending => thread::park(),
                    }
                }
            })
        });
        for reader in readers {
            let read = reader.join().unwrap();
            assert_eq!(bytes(&read), bytes(&script));
            assert_eq!(read.last(), Some(&Step::Trailers));
        }
    }
}

#[tokio::test]
async fn the_layer_makes_any_body_resendable() {
    let twice = service_fn(async |request: Request<ReplayBody<Scripted>>| {
        let again = Replayed.copy(&request).unwrap();
        assert_eq!(all(request.into_body()), [data("body")]);
        assert_eq!(all(again.into_body()), [data("body")]);
        Ok::<_, Infallible>(Response::new(()))
    });
    let service = ReplayLayer::new().layer(twice);
    service.oneshot(Request::new(Scripted::new([data("body")]))).await.unwrap();
}

#[test]
fn the_layer_keeps_the_tower_contract() {
    let request = |number: u64| Request::new(Full::from(number.to_string()));
    let response = |number: u64| {
        let mut response = Response::new(());
        response.extensions_mut().insert(number);
        response
    };
    let unwrap = tower::util::MapRequestLayer::new(|request: Request<ReplayBody<Full<Bytes>>>| {
        request.map(|body| {
            let frame = body.collect();
            let cx = &mut Context::from_waker(Waker::noop());
            match std::pin::pin!(frame).poll(cx) {
                Poll::Ready(Ok(body)) => Full::from(body.to_bytes()),
                _ => panic!("a whole body is there at once"),
            }
        })
    });
    Exchange::new(request, response)
        .contract(
            move |inner| ReplayLayer::new().layer(unwrap.layer(inner)),
            |response: Response<()>| *response.extensions().get().unwrap(),
        )
        .run();
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Data),
        2 => Just(Step::Pending),
    ];
    let end = prop_oneof![2 => Just(None), 1 => Just(Some(Step::Trailers))];
    (proptest::collection::vec(step, 0..12), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

fn bytes(steps: &[Step]) -> Vec<u8> {
    let data = steps.iter().map(|step| match step {
        Step::Data(data) => data.as_slice(),
        _ => &[],
    });
    data.collect::<Vec<_>>().concat()
}

proptest! {
    #[test]
    fn the_next_attempt_sends_the_same_bytes_wherever_one_is_dropped(
        script in steps(),
        dropped_after in proptest::collection::vec(0..14_usize, 0..4),
    ) {
        let kept = ReplayBody::new(Scripted::new(script.clone()));
        let len = bytes(&script).len() as u64;
        for polls in dropped_after {
            let mut attempt = kept.clone();
            let mut read = Vec::new();
            for _ in 0..polls {
                prop_assert_eq!(attempt.size_hint().exact(), Some(len - bytes(&read).len() as u64));
                if attempt.is_end_stream() {
                    prop_assert_eq!(next(&mut attempt), None);
                }
                match poll(&mut attempt, Waker::noop()) {
                    Poll::Ready(Some(step)) => read.push(step),
                    Poll::Ready(None) => break,
                    Poll::Pending => {}
                }
            }
            prop_assert!(bytes(&script).starts_with(&bytes(&read)));
        }
        prop_assert!(kept.is_replayable());
        let sent = all(kept);
        prop_assert_eq!(bytes(&sent), bytes(&script));
        prop_assert_eq!(sent.contains(&Step::Trailers), script.contains(&Step::Trailers));
    }

    #[test]
    fn concurrent_readers_get_the_same_bytes(
        script in steps(),
        turns in proptest::collection::vec(0..3_usize, 0..60),
    ) {
        let first = ReplayBody::new(Scripted::new(script.clone()));
        let mut readers = [first.clone(), first.clone(), first];
        let mut read = [const { Vec::new() }; 3];
        for turn in turns {
            if let Poll::Ready(Some(step)) = poll(&mut readers[turn], Waker::noop()) {
                read[turn].push(step);
            }
        }
        for (mut read, reader) in read.into_iter().zip(readers) {
            read.extend(all(reader));
            prop_assert_eq!(bytes(&read), bytes(&script));
            prop_assert_eq!(read.contains(&Step::Trailers), script.contains(&Step::Trailers));
        }
    }

    #[test]
    fn beyond_the_cap_a_copy_sends_all_or_an_error(
        script in steps(), cap in 0..100_usize, polls in 0..14_usize,
    ) {
        let first = ReplayBody::capped(Scripted::new(script.clone()), cap);
        let (mut dropped, last) = (first.clone(), first);
        for _ in 0..polls {
            let _ = poll(&mut dropped, Waker::noop());
        }
        let was_replayable = last.is_replayable();
        let sent = all(last);
        let is_whole = sent.last() != Some(&data("cannot be sent again"));
        prop_assert_eq!(is_whole, was_replayable, "it says so beforehand");
        if is_whole {
            prop_assert_eq!(bytes(&sent), bytes(&script));
        } else {
            prop_assert_eq!(all(dropped.clone()), [data("cannot be sent again")]);
        }
    }
}
