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
    /// The answer, once it is checked, or why it is not handed out.
    ///
    /// Dropped while the answer is being checked, it discards the answer, whatever is done with
    /// failures otherwise: nobody would ever see it. Dropped before the service below has answered,
    /// it drops the request, and there is nothing to discard.
    ///
    /// # Panics
    ///
    /// If there is something to check: outside a tokio runtime with its timer enabled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, K, J>
    where
        S: Service<Req>,
        S: Clone,
        K: Check<S, S::Response>,
    {
        #[pin]
        state: State<S::Future, Checking<S, S::Response, K>>,
        judge: J,
        // None: such a request hands out nothing.
        shared: Option<Arc<Shared<S, K>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C> {
        Asking { #[pin] future: F },
        Checking { #[pin] checking: C },
    }
}

impl<S, Req, K, J> ResponseFuture<S, Req, K, J>
where
    S: Service<Req> + Clone,
    K: Check<S, S::Response>,
{
    pub(crate) fn new(future: S::Future, judge: J, shared: Option<Arc<Shared<S, K>>>) -> Self {
        Self { state: State::Asking { future }, judge, shared }
    }
}

impl<S, Req, K, J> Future for ResponseFuture<S, Req, K, J>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    K: Check<S, S::Response>,
    J: ClassifyResponse<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                StateProj::Asking { future } => future,
                StateProj::Checking { checking } => return checking.poll(cx),
            };
            let answer = ready!(future.poll(cx)).map_err(Into::into)?;
            let Some(shared) = this.shared.take() else { return Poll::Ready(Ok(answer)) };
            // From here on no code of others sees the answer outside of its guard.
            let unchecked = Unchecked::new(answer, shared);
            let succeeded =
                unchecked.answer().is_some_and(|answer| judge(this.judge, Ok(answer)).is_success());
            let unchecked = if succeeded {
                match Checking::begin(unchecked, this.judge.info().operation) {
                    Begun::Checking(checking) => {
                        // The future below goes, with all that it still held there.
                        this.state.set(State::Checking { checking });
                        continue;
                    }
                    Begun::NothingToCheck(unchecked) => unchecked,
                }
            } else {
                unchecked
            };
            return unchecked.hand_out().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)));
        }
    }
}

impl<S, Req, K, J> std::fmt::Debug for ResponseFuture<S, Req, K, J>
where
    S: Service<Req> + Clone,
    K: Check<S, S::Response>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checking = matches!(self.state, State::Checking { .. });
        f.debug_struct("ResponseFuture").field("checking", &checking).finish_non_exhaustive()
    }
}
