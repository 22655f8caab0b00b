//! Bodies that stand still.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use sandtower_core::{BoxError, Effect, EndOfStream, Sleep, Tick, Verdict, find};
use sandtower_http::{BodyIdle, GrpcInterpret, IdleBodyLayer, InterpretLayer, MovingBody};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);

/// A frame after each pause; then, it ends or stands still for good.
struct Paused {
    pauses: VecDeque<Duration>,
    ends: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Paused {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some(&pause) = self.pauses.front() else {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(Sleep::until(Tick::now() + pause)));
        ready!(sleep.as_mut().poll(cx));
        (self.sleep, _) = (None, self.pauses.pop_front());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
    }
}

async fn body(pauses: &[u64], ends: bool) -> MovingBody<Paused> {
    let pauses: VecDeque<_> = pauses.iter().map(|pause| *pause as u32 * SECOND).collect();
    let service = IdleBodyLayer::new(LIMIT).layer(service_fn(move |_: Request<()>| {
        let body = Paused { pauses: pauses.clone(), ends, sleep: None };
        async move { Ok::<_, BoxError>(Response::new(body)) }
    }));
    service.oneshot(Request::new(())).await.unwrap().into_body()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_moves_may_be_as_long_as_it_likes() {
    let read = body(&[4, 4, 4, 4], true).await.collect().await.unwrap();
    assert_eq!(read.to_bytes().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_fails_with_the_limit_as_a_timeout() {
    for pauses in [&[][..], &[4, 4], &[4, 6]] {
        let (start, body) = (Tick::now(), body(pauses, false).await);
        let error = body.collect().await.err().unwrap();
        assert_eq!(find::<BodyIdle>(&*error).map(BodyIdle::after), Some(LIMIT));
        let io = find::<std::io::Error>(&*error).unwrap();
        assert_eq!(io.kind(), std::io::ErrorKind::TimedOut);
        let moved: u64 = pauses.iter().filter(|pause| **pause < 5).sum();
        assert_eq!(Tick::now().since(start).as_secs(), moved + 5);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_the_reader_takes_does_not_count() {
    let mut body = pin!(body(&[1, 1], true).await);
    while let Some(frame) = body.frame().await {
        frame.unwrap();
        tokio::time::sleep(60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_interpreter_above_reports_that_the_body_broke_off() {
    let layers = ServiceBuilder::new()
        .layer(InterpretLayer::new(GrpcInterpret))
        .layer(IdleBodyLayer::new(LIMIT));
    let service = layers.service(service_fn(async |_: Request<()>| {
        let body = Paused { pauses: [SECOND].into(), ends: false, sleep: None };
        Ok::<_, BoxError>(
            Response::builder().header("content-type", "application/grpc").body(body)?,
        )
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    let (told, verdicts) = std::sync::mpsc::channel();
    let end: &EndOfStream = response.extensions().get().unwrap();
    end.then(move |verdict| told.send(verdict).unwrap());
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(verdicts.try_recv(), Ok(Verdict::transient(Effect::Maybe)));
}
