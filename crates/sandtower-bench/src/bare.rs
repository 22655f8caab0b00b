//! The service below every layer, and how it is called: the same for all cases.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tower::Service;

use crate::runtime;

/// Cheap to copy: what is measured is the layer and not its request.
pub type Request = u64;

/// The request that fails. All others are returned as the response.
pub const FAILS: Request = Request::MAX;

/// The error of the request that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken")]
pub struct Broken;

/// Always ready, and responds at once. No layer can know at compile time that it succeeds.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Service<Request> for Bare {
    type Response = Request;
    type Error = Broken;
    type Future = Response;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Response {
        Response(request)
    }
}

/// The future of [`Bare`].
#[derive(Debug)]
pub struct Response(Request);

impl Future for Response {
    type Output = Result<Request, Broken>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(if self.0 == FAILS { Err(Broken) } else { Ok(self.0) })
    }
}

/// Makes `service` ready, calls it, and polls its future to completion.
///
/// # Errors
///
/// What the service says.
#[inline]
pub fn call<S, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req>,
{
    until_ready(|cx| service.poll_ready(cx))?;
    let mut response = pin!(service.call(request));
    until_ready(|cx| response.as_mut().poll(cx))
}

/// Alone, all that is measured is ready at once, and nothing has to be woken.
#[inline]
fn until_ready<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => wait(poll),
    }
}

/// Of two threads one may have to wait for what the other holds, or for a timer.
#[cold]
fn wait<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    runtime::block_on(poll_fn(poll))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_fails_and_all_others_come_back() {
        assert_eq!(call(&mut Bare, 7), Ok(7));
        assert_eq!(call(&mut Bare, FAILS), Err(Broken));
    }
}
