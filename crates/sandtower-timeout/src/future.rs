use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Sleep, Tick};

use crate::elapsed::Elapsed;

pin_project! {
    /// The response, or an [`Elapsed`] when the time is over; the attempt is dropped then.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // `None` once it is done.
        #[pin]
        future: Option<F>,
        // `None`: unbounded. A call that responds at once sets no timer.
        #[pin]
        sleep: Option<Sleep>,
        elapsed: Elapsed,
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: F, until: Option<Tick>, elapsed: Elapsed) -> Self {
        Self { future: Some(future), sleep: until.map(Sleep::until), elapsed }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`ResponseFuture` polled after completion")
        };
        let result = match future.poll(cx) {
            Poll::Ready(result) => result.map_err(Into::into),
            Poll::Pending => match this.sleep.as_pin_mut().map(|sleep| sleep.poll(cx)) {
                Some(Poll::Ready(())) => Err(this.elapsed.classified()),
                Some(Poll::Pending) | None => return Poll::Pending,
            },
        };
        this.future.set(None);
        Poll::Ready(result)
    }
}
