use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, WhenReady};
use tower_service::Service;

type Serving<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

pin_project! {
    /// The response of a [`Pooled`](crate::Pooled) service.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[must_use = "futures do nothing unless polled"]
    pub struct PooledFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Passed { #[pin] future: WhenReady<S, Req> },
        // Boxed: creating a sandbox takes seconds, and its future has no name.
        Pooled { future: Serving<S::Response> },
    }
}

impl<S, Req> PooledFuture<S, Req>
where
    S: Service<Req>,
{
    pub(super) fn passed(future: WhenReady<S, Req>) -> Self {
        Self { state: State::Passed { future } }
    }

    pub(super) fn pooled<F>(future: F) -> Self
    where
        F: Future<Output = Result<S::Response, BoxError>> + Send + 'static,
    {
        Self { state: State::Pooled { future: Box::pin(future) } }
    }
}

impl<S, Req> Future for PooledFuture<S, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passed { future } => future.poll(cx).map_err(Into::into),
            StateProj::Pooled { future } => future.as_mut().poll(cx),
        }
    }
}

impl<S, Req> std::fmt::Debug for PooledFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PooledFuture").finish_non_exhaustive()
    }
}
