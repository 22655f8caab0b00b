use std::task::{Context, Poll};

use http::Request;
use http_body::Body;
use sandtower_core::{Attempt, Resend, SetDeadline, Tick};
use tower_layer::Layer;
use tower_service::Service;

use crate::{DEFAULT_CAP, Http, ReplayBody};

/// Makes requests with any body resendable: see [`Replayable`].
#[derive(Clone, Copy, Debug)]
pub struct ReplayLayer {
    cap: usize,
}

impl ReplayLayer {
    /// Buffers bodies of at most [`DEFAULT_CAP`].
    pub const fn new() -> Self {
        Self { cap: DEFAULT_CAP }
    }

    /// Buffers bodies of at most `cap` bytes.
    #[must_use]
    pub const fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }
}

impl Default for ReplayLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = Replayable<S>;

    fn layer(&self, inner: S) -> Replayable<S> {
        Replayable { inner, cap: self.cap }
    }
}

/// Wraps the body of each request in a [`ReplayBody`]. Place it above the retry, with the strategy
/// [`Replayed`]: streaming bodies and `hyper::body::Incoming` are then retried like others, and bodies
/// beyond the cap are sent once.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use sandtower_http::{ReplayBody, ReplayLayer};
/// use tower::{Layer, service_fn};
///
/// let inner = service_fn(async |request: Request<ReplayBody<Empty<Bytes>>>| {
///     Ok::<_, std::io::Error>(Response::new(()))
/// });
/// let service = ReplayLayer::new().layer(inner);
/// # let _ = service;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Replayable<S> {
    inner: S,
    cap: usize,
}

impl<S, B> Service<Request<B>> for Replayable<S>
where
    S: Service<Request<ReplayBody<B>>>,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(request.map(|body| ReplayBody::capped(body, self.cap)))
    }
}

/// Resends requests with a [`ReplayBody`]: like [`Http`], but not once their body is no longer
/// replayable.
///
/// It returns no copy then. A retry that checks once more when the next attempt is due, and ends the
/// call if there is no copy, never sends half a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed;

impl<B: Body> Resend<Request<ReplayBody<B>>> for Replayed {
    fn copy(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        request.body().is_replayable().then(|| request.clone())
    }

    fn stamp(&self, request: &mut Request<ReplayBody<B>>, attempt: &Attempt) {
        Resend::<Request<ReplayBody<B>>>::stamp(&Http, request, attempt);
    }
}

impl<B> SetDeadline<Request<B>> for Replayed {
    fn set_deadline(&self, request: &mut Request<B>, arrived: Tick, deadline: Tick) {
        Http.set_deadline(request, arrived, deadline);
    }
}
