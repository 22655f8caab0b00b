use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse, HasInfo, SetDeadline, Tick};
use tower_layer::Layer;
use tower_service::Service;

use crate::elapsed::{Bound, Elapsed};
use crate::future::ResponseFuture;
use crate::limits::Limits;

/// Limits the whole call, waits and retries included, and passes the deadline to the layers below.
///
/// An earlier deadline of the request is kept. With a [`SetDeadline`] strategy for the request type, the
/// deadline and the time of arrival are set on the request; without one, only this layer knows them.
#[derive(Clone, Debug)]
pub struct DeadlineLayer<C = ByResult, D = ()> {
    limits: Arc<Limits>,
    classify: C,
    set: D,
}

impl DeadlineLayer {
    /// Limits calls to `limits`: a duration, or [`Limits`] by operation. All requests are one operation
    /// unless [`classify`](Self::classify) distinguishes operations.
    pub fn new(limits: impl Into<Limits>) -> Self {
        Self { limits: Arc::new(limits.into()), classify: ByResult::default(), set: () }
    }
}

impl<C, D> DeadlineLayer<C, D> {
    /// Gets the operation and the deadline of a request from `classify`.
    pub fn classify<E>(self, classify: E) -> DeadlineLayer<E, D> {
        DeadlineLayer { limits: self.limits, classify, set: self.set }
    }

    /// Sets the deadline on requests with `set`.
    pub fn set_deadline<E>(self, set: E) -> DeadlineLayer<C, E> {
        DeadlineLayer { limits: self.limits, classify: self.classify, set }
    }
}

impl<S, C: Clone, D: Clone> Layer<S> for DeadlineLayer<C, D> {
    type Service = Deadline<S, C, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let (limits, classify) = (Arc::clone(&self.limits), self.classify.clone());
        Deadline { inner, limits, classify, set: self.set.clone() }
    }
}

/// A service with a deadline for calls: see [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S, C = ByResult, D = ()> {
    inner: S,
    limits: Arc<Limits>,
    classify: C,
    set: D,
}

impl<S, C, D, Req> Service<Req> for Deadline<S, C, D>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    D: SetDeadline<Req>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let info = *self.classify.classify(&request).info();
        let now = Tick::now();
        let limit = self.limits.of(info.operation).map(|limit| now + limit);
        let until = [limit, info.deadline].into_iter().flatten().min();
        let arrived = info.arrived.unwrap_or(now);
        self.set.set_deadline(&mut request, arrived, until.unwrap_or(Tick::MAX));
        let after = until.map_or(std::time::Duration::ZERO, |until| until.since(now));
        let elapsed = Elapsed::new(Bound::Call, &info, after);
        ResponseFuture::new(self.inner.call(request), until, elapsed, None)
    }
}
