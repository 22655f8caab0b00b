use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse};
use tower_service::Service;

use crate::alternative::Alternative;
use crate::future::ResponseFuture;
use crate::handle::Handle;
use crate::when::When;

/// A service with an alternative: see [`FallbackLayer`](crate::FallbackLayer).
///
/// Ready when the first service is: it is the very instance that was polled that is called. If that
/// fails to become ready, the next call goes to the alternative, as after any failure in which nothing
/// was sent; readiness itself never fails. The alternative is made ready when it is used, in the
/// future of the call, which by then holds nothing of the first.
#[derive(Debug)]
pub struct Fallback<S, A, C = ByResult> {
    first: S,
    classify: C,
    /// The last `poll_ready` ended in this: `first` may not be called.
    unready: Option<BoxError>,
    shared: Arc<Shared<A>>,
}

#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) alternative: A,
    pub(crate) when: When,
    pub(crate) handle: Handle,
}

impl<S, A, C> Fallback<S, A, C> {
    pub(crate) fn new(first: S, classify: C, shared: Arc<Shared<A>>) -> Self {
        Self { first, classify, unready: None, shared }
    }
}

impl<S, A, C, Req> Service<Req> for Fallback<S, A, C>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Alternative<Req, S::Response>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Req, S::Response, A, C::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.unready = ready!(self.first.poll_ready(cx)).err().map(Into::into);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let judge = self.classify.classify(&request);
        let kept = self.shared.alternative.keep(&request);
        let first = match self.unready.take() {
            Some(error) => Err(error),
            None => Ok(self.first.call(request)),
        };
        ResponseFuture::new(first, judge, kept, Arc::clone(&self.shared))
    }
}

impl<S: Clone, A, C: Clone> Clone for Fallback<S, A, C> {
    /// Readiness is not cloned: the clone has to be polled itself.
    fn clone(&self) -> Self {
        Self::new(self.first.clone(), self.classify.clone(), Arc::clone(&self.shared))
    }
}
