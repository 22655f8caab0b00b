use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sandtower_core::{BoxError, Classify, ClassifyResponse};
use tower_service::Service;

use crate::alternative::Alternative;
use crate::future::ResponseFuture;
use crate::handle::Handle;
use crate::pristine::Pristine;
use crate::when::When;

/// A service with an alternative: see [`FallbackLayer`](crate::FallbackLayer).
///
/// Ready when the first service is; it calls the instance that was polled. If that fails to become ready,
/// it is replaced, and the next call goes to the alternative, as after any failure in which nothing was
/// sent; readiness itself never fails. The alternative becomes ready when it is used, in the future of the
/// call, which by then holds nothing of the first.
#[derive(Debug)]
pub struct Fallback<S, A, C> {
    first: S,
    pristine: Arc<Pristine<S>>,
    classify: C,
    /// The error of the last `poll_ready`: `first` is another instance, which was not polled.
    not_ready: Option<BoxError>,
    shared: Arc<Shared<A>>,
}

#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) alternative: A,
    pub(crate) when: When,
    pub(crate) handle: Handle,
}

impl<S, A, C> Fallback<S, A, C> {
    pub(crate) fn new(first: S, classify: C, shared: Arc<Shared<A>>) -> Self
    where
        S: Clone,
    {
        let pristine = Arc::new(Pristine::new(first.clone()));
        Self { first, pristine, classify, not_ready: None, shared }
    }
}

impl<S, A, C, Req> Service<Req> for Fallback<S, A, C>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    A: Alternative<Req, S::Response>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Req, S::Response, A, C::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.not_ready = ready!(self.first.poll_ready(cx)).err().map(Into::into);
        if self.not_ready.is_some() {
            self.first = self.pristine.fresh();
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        let kept = self.shared.alternative.keep(&request);
        let first = match self.not_ready.take() {
            Some(error) => Err(error),
            None => Ok(self.first.call(request)),
        };
        ResponseFuture::new(first, classifier, kept, Arc::clone(&self.shared))
    }
}

impl<S: Clone, A, C: Clone> Clone for Fallback<S, A, C> {
    /// Readiness is not cloned: the clone has to be polled itself.
    fn clone(&self) -> Self {
        Self {
            first: self.first.clone(),
            pristine: Arc::clone(&self.pristine),
            classify: self.classify.clone(),
            not_ready: None,
            shared: Arc::clone(&self.shared),
        }
    }
}
