use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse, HasInfo, Tick};
use tower_layer::Layer;
use tower_service::Service;

use crate::elapsed::{Bound, Elapsed};
use crate::future::ResponseFuture;
use crate::limits::Limits;
use crate::moves::Moves;

/// Limits each attempt, by operation, from the moment it is sent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use sandtower_core::find;
/// use sandtower_timeout::{Elapsed, TimeoutLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// let service = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(Duration::from_secs(3)))
///     .service(service_fn(|(): ()| std::future::pending::<Result<(), std::io::Error>>()));
///
/// let error = service.oneshot(()).await.unwrap_err();
/// assert_eq!(find::<Elapsed>(&*error).unwrap().after(), Duration::from_secs(3));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TimeoutLayer<C = ByResult, M = ()> {
    limits: Arc<Limits>,
    classify: C,
    moves: M,
}

impl TimeoutLayer {
    /// Limits attempts to `limits`: a duration, or [`Limits`] by operation. All requests are one
    /// operation unless [`classify`](Self::classify) distinguishes operations.
    pub fn new(limits: impl Into<Limits>) -> Self {
        Self { limits: Arc::new(limits.into()), classify: ByResult::default(), moves: () }
    }
}

impl<C, M> TimeoutLayer<C, M> {
    /// Gets the operation of a request from `classify`.
    pub fn classify<D>(self, classify: D) -> TimeoutLayer<D, M> {
        TimeoutLayer { limits: self.limits, classify, moves: self.moves }
    }

    /// Restarts the timeout of an attempt whenever its request makes progress, as `moves` reports: the
    /// limit then applies to stalls.
    pub fn moves<N>(self, moves: N) -> TimeoutLayer<C, N> {
        TimeoutLayer { limits: self.limits, classify: self.classify, moves }
    }
}

impl<S, C: Clone, M: Clone> Layer<S> for TimeoutLayer<C, M> {
    type Service = Timeout<S, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let (classify, moves) = (self.classify.clone(), self.moves.clone());
        Timeout { inner, limits: Arc::clone(&self.limits), classify, moves }
    }
}

/// A service with a timeout for attempts: see [`TimeoutLayer`].
#[derive(Clone, Debug)]
pub struct Timeout<S, C = ByResult, M = ()> {
    inner: S,
    limits: Arc<Limits>,
    classify: C,
    moves: M,
}

impl<S, C, M, Req> Service<Req> for Timeout<S, C, M>
where
    M: Moves<Req>,
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, M::Watch>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        let limit = self.limits.of(classifier.info().operation);
        let elapsed = Elapsed::new(Bound::Attempt, classifier.info(), limit.unwrap_or_default());
        let Some(limit) = limit else {
            return ResponseFuture::new(self.inner.call(request), None, elapsed, None);
        };
        let watch = self.moves.watch(&mut request, classifier.info().operation);
        let until = Tick::now() + limit;
        ResponseFuture::new(self.inner.call(request), Some(until), elapsed, watch)
    }
}
