use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Resend, WhenReady};
use tower_service::Service;

use crate::failed::Failed;
use crate::pristine::Pristine;

/// An alternative source of a response.
///
/// What it needs of a request is [kept](Alternative::keep) before the request is sent, since the request
/// is consumed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no alternative for a `{Req}` that is to end in a `{Res}`",
    label = "not an `Alternative<{Req}, {Res}>`",
    note = "another service has to respond with the same type as the first, and its errors have to be \
            `Into<BoxError>`; a rewrite is an `Fn({Req}, &Failed<'_, {Res}>) -> Option<{Req}>`"
)]
pub trait Alternative<Req, Res> {
    /// What is kept of a request while it is in flight.
    type Kept;
    /// The future of the alternative.
    type Future: Future<Output = Result<Res, BoxError>>;

    /// Whether it may repeat the effect of the failed attempt: it is then skipped unless the request is
    /// safe to replay, and if the failure is [about the caller](sandtower_core::About::Caller). True for
    /// everything that sends a request.
    fn repeats(&self) -> bool {
        true
    }

    /// Keeps what is needed of `request`; `None`: this request has no alternative. Called for every
    /// request.
    fn keep(&self, request: &Req) -> Option<Self::Kept>;

    /// Starts the alternative; `None`: the call ends with its failure. Must neither block nor hold
    /// anything: readiness is awaited in the future.
    fn begin(&self, kept: Self::Kept, failed: &Failed<'_, Res>) -> Option<Self::Future>;
}

/// Creates the [`Alternative`] for one service: what a layer knows before there is a service.
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no alternative to a `{S}`",
    label = "not a `MakeAlternative<{S}>`",
    note = "`FallbackLayer::respond`, `to` and `rewrite` make the usual ones"
)]
pub trait MakeAlternative<S> {
    /// The alternative.
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
        ServiceAlternative {
            pristine: Pristine::new(self.service.clone()),
            resend: self.resend.clone(),
        }
    }
}

/// Sends the same request to another service.
#[derive(Debug)]
pub struct ServiceAlternative<T, R> {
    pristine: Pristine<T>,
    resend: R,
}

impl<T, R, Req> Alternative<Req, T::Response> for ServiceAlternative<T, R>
where
    T: Service<Req> + Clone,
    T::Error: Into<BoxError>,
    R: Resend<Req>,
{
    type Kept = Req;
    type Future = Sending<T, Req>;

    fn keep(&self, request: &Req) -> Option<Req> {
        self.resend.copy(request)
    }

    fn begin(&self, kept: Req, _failed: &Failed<'_, T::Response>) -> Option<Self::Future> {
        Some(Sending::new(self.pristine.fresh(), kept))
    }
}

/// Makes alternatives that send nothing: see
/// [`FallbackLayer::respond`](crate::FallbackLayer::respond).
#[derive(Clone, Debug)]
pub struct Respond<F> {
    pub(crate) respond: F,
}

impl<S, F: Clone> MakeAlternative<S> for Respond<F> {
    type Alternative = RespondAlternative<F>;

    fn make(&self, _first: &S) -> Self::Alternative {
        RespondAlternative { respond: self.respond.clone() }
    }
}

/// Responds by itself.
#[derive(Clone, Debug)]
pub struct RespondAlternative<F> {
    respond: F,
}

impl<F, Req, Res> Alternative<Req, Res> for RespondAlternative<F>
where
    F: Fn(&Failed<'_, Res>) -> Option<Res>,
{
    type Kept = ();
    type Future = Ready<Result<Res, BoxError>>;

    fn repeats(&self) -> bool {
        false
    }

    fn keep(&self, _request: &Req) -> Option<()> {
        Some(())
    }

    fn begin(&self, (): (), failed: &Failed<'_, Res>) -> Option<Self::Future> {
        (self.respond)(failed).map(|response| ready(Ok(response)))
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
