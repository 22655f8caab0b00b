use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, ClassifyResponse, judge};
use tower_service::Service;

use crate::Check;
use crate::checking::{Begun, Checking};
use crate::unchecked::{Shared, Unchecked};

pin_project! {
    /// The response once it has passed its check, or the error.
    ///
    /// If it is dropped while the response is being checked, the response is discarded, whatever
    /// [`OnFailure`](crate::OnFailure) says: no caller would ever get it. If it is dropped before the service
    /// below has responded, the request is dropped, and there is nothing to discard.
    ///
    /// # Panics
    ///
    /// If polled after completion; and if there is something to check, outside a tokio runtime with its timer
    /// enabled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, K, C>
    where
        S: Service<Req>,
        S: Clone,
        S: Send,
        S: 'static,
        S::Response: Send,
        S::Response: 'static,
        K: Check<S, S::Response>,
    {
        #[pin]
        state: State<S::Future, Checking<S, S::Response, K>>,
        classifier: C,
        // `None`: such a request creates nothing.
        shared: Option<Arc<Shared<S, K>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C> {
        Waiting { #[pin] future: F },
        Checking { #[pin] checking: C },
        Done,
    }
}

impl<S, Req, K, C> ResponseFuture<S, Req, K, C>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    K: Check<S, S::Response>,
{
    pub(crate) fn new(future: S::Future, classifier: C, shared: Option<Arc<Shared<S, K>>>) -> Self {
        Self { state: State::Waiting { future }, classifier, shared }
    }
}

impl<S, Req, K, C> Future for ResponseFuture<S, Req, K, C>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    K: Check<S, S::Response>,
    C: ClassifyResponse<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = loop {
            let future = match this.state.as_mut().project() {
                StateProj::Waiting { future } => future,
                StateProj::Checking { checking } => break ready!(checking.poll(cx)),
                StateProj::Done => panic!("`ResponseFuture` polled after completion"),
            };
            let response = match ready!(future.poll(cx)) {
                Ok(response) => response,
                Err(error) => break Err(error.into()),
            };
            let Some(shared) = this.shared.take() else { break Ok(response) };
            // From here on no foreign code sees the response outside its guard.
            let unchecked = Unchecked::new(response, shared);
            if !judge(this.classifier, Ok(unchecked.response())).is_success() {
                break Ok(unchecked.into_response());
            }
            match Checking::begin(unchecked, this.classifier.info().operation) {
                // Drops the future below, with all that it still held.
                Begun::Checking(checking) => this.state.set(State::Checking { checking }),
                Begun::NothingToCheck(unchecked) => break Ok(unchecked.into_response()),
            }
        };
        this.state.set(State::Done);
        Poll::Ready(result)
    }
}

impl<S, Req, K, C> std::fmt::Debug for ResponseFuture<S, Req, K, C>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    K: Check<S, S::Response>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checking = matches!(self.state, State::Checking { .. });
        f.debug_struct("ResponseFuture").field("checking", &checking).finish_non_exhaustive()
    }
}
