use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Sleep, Tick};

use crate::elapsed::Elapsed;
use crate::moves::LastMoved;

pin_project! {
    /// The response, or an [`Elapsed`] after the limit; the attempt is dropped then.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, W = ()> {
        // `None` once it is done.
        #[pin]
        future: Option<F>,
        // `None`: unbounded. A call that responds at once sets no timer.
        #[pin]
        sleep: Option<Sleep>,
        elapsed: Elapsed,
        // Whether the request makes progress, if that is tracked.
        moves: Option<W>,
    }
}

impl<F, W> ResponseFuture<F, W> {
    pub(crate) fn new(future: F, until: Option<Tick>, elapsed: Elapsed, moves: Option<W>) -> Self {
        Self { future: Some(future), sleep: until.map(Sleep::until), elapsed, moves }
    }
}

impl<F, W, Res, E> Future for ResponseFuture<F, W>
where
    W: LastMoved,
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
            Poll::Pending => {
                let Some(mut sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
                loop {
                    ready!(sleep.as_mut().poll(cx));
                    let moved = this.moves.as_ref().and_then(LastMoved::last_moved);
                    match moved.map(|moved| moved + this.elapsed.after()) {
                        Some(until) if until > sleep.at() => sleep.as_mut().reset(until),
                        _ => break Err(this.elapsed.classified()),
                    }
                }
            }
        };
        this.future.set(None);
        Poll::Ready(result)
    }
}
