use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// Makes one instance of a service ready, calls it, and waits for its response.
    ///
    /// The future half of a layer that waits in its future: an instance is made ready only after the
    /// wait is over, so that a waiting caller holds nothing below. Dropped at any point, the instance
    /// and its readiness go with it. An instance that failed to become ready is dropped and never
    /// polled again.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done.
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
        Readying { waiting: Option<(S, Req)> },
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
        Self { state: State::Readying { waiting: Some((service, request)) } }
    }

    /// Calls the service of `spare` here and now if it is ready; else takes an instance along. In the
    /// common case nothing is cloned.
    #[inline]
    pub fn start(spare: &mut Spare<S>, request: Req) -> Self
    where
        S: Clone,
    {
        let Spare { used, pristine } = spare;
        let service = used.get_or_insert_with(|| pristine.clone());
        // A service that is pending keeps no waker of ours: the future polls it again.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self { state: State::Sent { future: service.call(request) } },
            Poll::Ready(Err(error)) => {
                *used = None;
                Self { state: State::Failed { error: Some(error) } }
            }
            Poll::Pending => {
                let service = used.take().unwrap_or_else(|| pristine.clone());
                Self::new(service, request)
            }
        }
    }

    /// Whether the service was called.
    pub fn is_sent(&self) -> bool {
        matches!(self.state, State::Sent { .. })
    }

    /// Gets the request sent, without waiting for its response.
    ///
    /// # Errors
    ///
    /// The service failed to become ready; the request was not sent.
    ///
    /// # Panics
    ///
    /// When it is polled after it failed.
    pub fn poll_sent(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut state = self.project().state;
        let polled = match state.as_mut().project() {
            StateProj::Sent { .. } => return Poll::Ready(Ok(())),
            StateProj::Failed { error } => error.take().map(Err),
            StateProj::Readying { waiting: Some((service, _)) } => {
                Some(ready!(service.poll_ready(cx)))
            }
            StateProj::Readying { waiting: None } => None,
        };
        match polled {
            Some(Err(error)) => {
                state.set(State::Failed { error: None });
                Poll::Ready(Err(error))
            }
            Some(Ok(())) => {
                let StateProj::Readying { waiting } = state.as_mut().project() else {
                    unreachable!("only an instance that is being made ready becomes ready")
                };
                let Some((mut service, request)) = waiting.take() else {
                    unreachable!("it was there when it was polled")
                };
                let future = service.call(request);
                state.set(State::Sent { future });
                Poll::Ready(Ok(()))
            }
            None => panic!("`WhenReady` polled after completion"),
        }
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
            StateProj::Readying { .. } | StateProj::Failed { .. } => {
                unreachable!("it was sent above")
            }
        }
    }
}

/// A service of which calls take instances: one that is used where it stands as long as it is ready,
/// and one that is never polled, of which the others are clones.
///
/// An instance whose readiness failed may not be polled again, and what a clone of it does is anyone's
/// guess.
#[derive(Debug)]
pub struct Spare<S> {
    /// Made by the first call, so that cloning layers upon layers clones each service once.
    used: Option<S>,
    pristine: S,
}

impl<S: Clone> Spare<S> {
    /// Instances of `service`, which has not been polled.
    pub fn new(service: S) -> Self {
        Self { used: None, pristine: service }
    }

    /// The service, as it was given: never polled.
    pub fn pristine(&self) -> &S {
        &self.pristine
    }

    /// An instance that has not been polled.
    pub fn fresh(&self) -> S {
        self.pristine.clone()
    }
}

impl<S: Clone> Clone for Spare<S> {
    fn clone(&self) -> Self {
        Self::new(self.fresh())
    }
}
