//! Shows what becomes of a call once admission control has let it through.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::admission::Progress;
use crate::core::RequestInfo;
use crate::e2b::{Sandbox, operation as op};

/// Shows the check of a new sandbox, and that a user's code runs, in the [`Progress`] of a call. Directly
/// above admission control. Calls without one pass unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Shown<S>(pub(super) S);

impl<S, Q, B> Service<Request<Q>> for Shown<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ShownFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let extensions = request.extensions();
        let then = extensions.get::<Progress>().cloned().zip(extensions.get().and_then(Then::of));
        ShownFuture { inner: self.0.call(request), then }
    }
}

/// What a response of success leads to.
#[derive(Clone, Copy)]
enum Then {
    Check,
    Run,
}

impl Then {
    fn of(info: &RequestInfo) -> Option<Self> {
        match info.operation {
            op::SANDBOX_CREATE => Some(Self::Check),
            op::PROCESS_START | op::CODE_EXECUTE => Some(Self::Run),
            _ => None,
        }
    }
}

pin_project! {
    pub(crate) struct ShownFuture<F> {
        #[pin]
        inner: F,
        then: Option<(Progress, Then)>,
    }
}

impl<F, B, E> Future for ShownFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let (Ok(response), Some((progress, then))) = (&result, this.then.take()) {
            match then {
                Then::Check if response.extensions().get::<Sandbox>().is_some() => {
                    progress.checking();
                }
                Then::Run if response.status().is_success() => progress.running(),
                Then::Check | Then::Run => {}
            }
        }
        Poll::Ready(result)
    }
}
