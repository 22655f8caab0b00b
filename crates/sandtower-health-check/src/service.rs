use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse, HasInfo};
use tower_service::Service;

use crate::unchecked::Shared;
use crate::{Check, Handle, ResponseFuture};

/// Checks new resources of the service below: created by a [`HealthCheckLayer`](crate::HealthCheckLayer).
///
/// Ready when the service below is; it calls the instance that became ready. An instance that fails to
/// become ready is replaced. Probes and releases use their own clones, made only when there is something to
/// check.
#[derive(Debug)]
pub struct HealthCheck<S, K, C = ByResult> {
    inner: S,
    classify: C,
    shared: Arc<Shared<S, K>>,
}

impl<S, K, C> HealthCheck<S, K, C> {
    pub(crate) fn new(inner: S, classify: C, shared: Shared<S, K>) -> Self {
        Self { inner, classify, shared: Arc::new(shared) }
    }

    /// The counters.
    pub fn handle(&self) -> &Handle {
        &self.shared.handle
    }
}

impl<S: Clone, K, C: Clone> Clone for HealthCheck<S, K, C> {
    fn clone(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { inner: self.inner.clone(), classify: self.classify.clone(), shared }
    }
}

impl<S, K, C, Req> Service<Req> for HealthCheck<S, K, C>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    K: Check<S, S::Response>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, K, C::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let polled = self.inner.poll_ready(cx);
        if let Poll::Ready(Err(_)) = polled {
            self.inner = self.shared.fresh();
        }
        polled.map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        let checks = self.shared.check.checks(classifier.info());
        let shared = checks.then(|| Arc::clone(&self.shared));
        ResponseFuture::new(self.inner.call(request), classifier, shared)
    }
}
