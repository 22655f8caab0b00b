use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse, Clock, HasInfo};
use sandtower_time::TokioClock;
use tower_layer::Layer;
use tower_service::Service;

use crate::elapsed::{Bound, Elapsed};
use crate::future::ResponseFuture;
use crate::limits::Limits;

/// Bounds each attempt, by operation, from the moment it is sent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use sandtower_core::find;
/// use sandtower_timeout::{Elapsed, Limits, TimeoutLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// let service = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(Limits::all(Duration::from_secs(3))))
///     .service(service_fn(|(): ()| std::future::pending::<Result<(), std::io::Error>>()));
///
/// let error = service.oneshot(()).await.unwrap_err();
/// assert_eq!(find::<Elapsed>(&*error).unwrap().after(), Duration::from_secs(3));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TimeoutLayer<C = ByResult> {
    limits: Arc<Limits>,
    classify: C,
}

impl TimeoutLayer {
    /// Bounds attempts by `limits`. All requests are one operation until
    /// [`classify`](Self::classify) tells them apart.
    pub fn new(limits: Limits) -> Self {
        Self { limits: Arc::new(limits), classify: ByResult::default() }
    }
}

impl<C> TimeoutLayer<C> {
    /// Tells with `classify` which operation a request is.
    pub fn classify<D>(self, classify: D) -> TimeoutLayer<D> {
        TimeoutLayer { limits: self.limits, classify }
    }
}

impl<S, C: Clone> Layer<S> for TimeoutLayer<C> {
    type Service = Timeout<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout { inner, limits: Arc::clone(&self.limits), classify: self.classify.clone() }
    }
}

/// A service whose attempts are bounded: see [`TimeoutLayer`].
#[derive(Clone, Debug)]
pub struct Timeout<S, C = ByResult> {
    inner: S,
    limits: Arc<Limits>,
    classify: C,
}

impl<S, C, Req> Service<Req> for Timeout<S, C>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let operation = self.classify.classify(&request).info().operation;
        let limit = self.limits.of(operation);
        let elapsed = Elapsed::new(Bound::Attempt, operation, limit.unwrap_or_default());
        let Some(limit) = limit else {
            return ResponseFuture::new(self.inner.call(request), None, elapsed);
        };
        let (now, inner) = (TokioClock.begin(), &mut self.inner);
        let future = TokioClock.hand_down(now, || inner.call(request));
        ResponseFuture::new(future, Some(now + limit), elapsed)
    }
}
