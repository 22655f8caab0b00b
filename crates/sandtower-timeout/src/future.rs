use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sandtower_core::Sleep;
use sandtower_core::{BoxError, Tick};

use crate::elapsed::Elapsed;

pin_project! {
    /// The answer, or an [`Elapsed`] when the time is over; the request is dropped then.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        future: F,
        // `None`: unbounded. A call that answers at once sets no timer.
        #[pin]
        sleep: Option<Sleep>,
        elapsed: Elapsed,
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: F, until: Option<Tick>, elapsed: Elapsed) -> Self {
        Self { future, sleep: until.map(Sleep::until), elapsed }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        match this.sleep.as_pin_mut().map(|sleep| sleep.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(this.elapsed.judged())),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}
