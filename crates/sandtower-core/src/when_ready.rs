use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// Makes one instance of a service ready, calls it, and waits for its answer.
    ///
    /// The future half of a layer that waits in its future: only after its wait is over does it
    /// make an instance ready, so that a waiting caller holds nothing below. Dropped at any point,
    /// the instance and its readiness go with it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WhenReady<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future, S::Error>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<S, Req, F, E> {
        Readying { service: S, request: Option<Req> },
        Failed { error: Option<E> },
        Sent { #[pin] future: F },
    }
}

impl<S, Req> WhenReady<S, Req>
where
    S: Service<Req>,
{
    /// Will call `service`, an instance of its own.
    pub fn new(service: S, request: Req) -> Self {
        Self { state: State::Readying { service, request: Some(request) } }
    }

    /// Calls `service` here and now if it is ready; else takes it along and leaves a fresh clone in
    /// its place. In the common case nothing is cloned.
    #[inline]
    pub fn start(service: &mut S, request: Req) -> Self
    where
        S: Clone,
    {
        // A service that is pending keeps no waker of ours: the future polls it again.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self { state: State::Sent { future: service.call(request) } },
            Poll::Ready(Err(error)) => Self { state: State::Failed { error: Some(error) } },
            Poll::Pending => {
                let fresh = service.clone();
                Self::new(std::mem::replace(service, fresh), request)
            }
        }
    }

    /// Whether the service was called.
    pub fn is_sent(&self) -> bool {
        matches!(self.state, State::Sent { .. })
    }

    /// Gets the request sent, without waiting for its answer.
    ///
    /// # Errors
    ///
    /// The service failed to become ready; the request was not sent.
    pub fn poll_sent(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut state = self.project().state;
        let future = match state.as_mut().project() {
            StateProj::Sent { .. } => return Poll::Ready(Ok(())),
            StateProj::Failed { error } => match error.take() {
                Some(error) => return Poll::Ready(Err(error)),
                None => return Poll::Pending,
            },
            StateProj::Readying { service, request } => {
                ready!(service.poll_ready(cx))?;
                match request.take() {
                    Some(request) => service.call(request),
                    None => return Poll::Pending,
                }
            }
        };
        state.set(State::Sent { future });
        Poll::Ready(Ok(()))
    }
}

impl<S, Req> Future for WhenReady<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.as_mut().poll_sent(cx))?;
        match self.project().state.project() {
            StateProj::Sent { future } => future.poll(cx),
            StateProj::Readying { .. } | StateProj::Failed { .. } => Poll::Pending,
        }
    }
}
