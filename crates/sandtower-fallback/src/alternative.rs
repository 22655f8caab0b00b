use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Resend, WhenReady};
use tower_service::Service;

use crate::failed::Failed;

/// Another way to an answer.
///
/// What it needs of a request is [kept](Alternative::keep) before the request is sent, since it is
/// gone after that.
pub trait Alternative<Req, Res> {
    /// What is kept of a request while it is on its way.
    type Kept;
    /// The other way.
    type Answer: Future<Output = Result<Res, BoxError>>;

    /// Whether it may do again what the failed attempt may have done: it is then left out unless the
    /// request is safe to replay. Whatever sends a request does.
    fn repeats(&self) -> bool {
        true
    }

    /// Keeps what is needed of `request`; `None`: this request has no alternative. Runs on every
    /// call.
    fn keep(&self, request: &Req) -> Option<Self::Kept>;

    /// Sets out on the other way; `None`: the call ends with the failure that it has. Must neither
    /// wait nor hold anything: what is not ready is waited for in the answer.
    fn begin(&self, kept: Self::Kept, failed: &Failed<'_, Res>) -> Option<Self::Answer>;
}

/// Makes the [`Alternative`] to one service: what a layer knows of it before there is a service.
pub trait MakeAlternative<S> {
    /// What is made.
    type Alternative;

    /// The alternative to `first`.
    fn make(&self, first: &S) -> Self::Alternative;
}

/// Makes alternatives that send the same request to another service: see
/// [`FallbackLayer::to`](crate::FallbackLayer::to).
#[derive(Clone, Debug)]
pub struct ToService<T, R> {
    pub(crate) service: T,
    pub(crate) resend: R,
}

impl<S, T: Clone, R: Clone> MakeAlternative<S> for ToService<T, R> {
    type Alternative = ServiceAlternative<T, R>;

    fn make(&self, _first: &S) -> Self::Alternative {
        ServiceAlternative { spare: Spare::new(self.service.clone()), resend: self.resend.clone() }
    }
}

/// Sends the same request to another service.
#[derive(Debug)]
pub struct ServiceAlternative<T, R> {
    spare: Spare<T>,
    resend: R,
}

impl<T, R, Req> Alternative<Req, T::Response> for ServiceAlternative<T, R>
where
    T: Service<Req> + Clone,
    T::Error: Into<BoxError>,
    R: Resend<Req>,
{
    type Kept = Req;
    type Answer = Sending<T, Req>;

    fn keep(&self, request: &Req) -> Option<Req> {
        self.resend.copy(request)
    }

    fn begin(&self, kept: Req, _failed: &Failed<'_, T::Response>) -> Option<Self::Answer> {
        Some(Sending::new(self.spare.service(), kept))
    }
}

/// Makes alternatives that send nothing: see
/// [`FallbackLayer::answer`](crate::FallbackLayer::answer).
#[derive(Clone, Debug)]
pub struct Answer<F> {
    pub(crate) answer: F,
}

impl<S, F: Clone> MakeAlternative<S> for Answer<F> {
    type Alternative = AnswerAlternative<F>;

    fn make(&self, _first: &S) -> Self::Alternative {
        AnswerAlternative { answer: self.answer.clone() }
    }
}

/// Answers by itself.
#[derive(Clone, Debug)]
pub struct AnswerAlternative<F> {
    answer: F,
}

impl<F, Req, Res> Alternative<Req, Res> for AnswerAlternative<F>
where
    F: Fn(&Failed<'_, Res>) -> Option<Res>,
{
    type Kept = ();
    type Answer = Ready<Result<Res, BoxError>>;

    fn repeats(&self) -> bool {
        false
    }

    fn keep(&self, _request: &Req) -> Option<()> {
        Some(())
    }

    fn begin(&self, (): (), failed: &Failed<'_, Res>) -> Option<Self::Answer> {
        (self.answer)(failed).map(|answer| ready(Ok(answer)))
    }
}

/// A service to clone from. The lock makes it shareable for services that are not [`Sync`].
#[derive(Debug)]
pub(crate) struct Spare<S>(Mutex<S>);

impl<S> Spare<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    pub(crate) fn service(&self) -> S
    where
        S: Clone,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pin_project! {
    /// Makes an instance of a service ready and sends one request by it.
    #[must_use = "futures do nothing unless polled"]
    pub struct Sending<S: Service<Req>, Req> {
        #[pin]
        inner: WhenReady<S, Req>,
    }
}

impl<S: Service<Req>, Req> Sending<S, Req> {
    /// Will send `request` by `service`, an instance of its own.
    pub fn new(service: S, request: Req) -> Self {
        Self { inner: WhenReady::new(service, request) }
    }
}

impl<S, Req> Future for Sending<S, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map_err(Into::into)
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for Sending<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").field("sent", &self.inner.is_sent()).finish_non_exhaustive()
    }
}
