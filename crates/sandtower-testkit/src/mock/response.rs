//! The future of one call to a mock.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Sleep;

use super::{
    ledger::{InFlight, counted},
    script::Reply,
    use_up_budget,
};
use crate::BoxError;

/// Replies to one call of a [`Mock`](crate::Mock) by its script.
///
/// # Panics
///
/// If polled after completion.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Res> {
    reply: Option<Reply<Res>>,
    delay: Option<Pin<Box<Sleep>>>,
    in_flight: InFlight,
}

impl<Res> ResponseFuture<Res> {
    pub(crate) fn new(reply: Reply<Res>, in_flight: InFlight) -> Self {
        let mut future = Self { reply: Some(reply), delay: None, in_flight };
        // A delay counts from the call, not from the first poll of its future.
        future.start_delay();
        future
    }

    fn start_delay(&mut self) {
        if let Some(Reply::After(delay, then)) =
            self.reply.take_if(|reply| matches!(reply, Reply::After(..)))
        {
            self.delay = Some(Box::pin(tokio::time::sleep(delay)));
            self.reply = Some(*then);
        }
    }
}

// The response is only moved out of its future, never pinned.
impl<Res> Unpin for ResponseFuture<Res> {}

impl<Res> Future for ResponseFuture<Res> {
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(delay) = &mut this.delay {
            let waker = counted(this.in_flight.ledger(), cx.waker());
            ready!(delay.as_mut().poll(&mut Context::from_waker(&waker)));
            this.delay = None;
            this.start_delay();
        }
        let result = match this.reply.take() {
            Some(Reply::Ok(response)) => Ok(response),
            Some(Reply::Err(error)) => Err(error),
            Some(Reply::Busy) => {
                this.reply = Some(Reply::Busy);
                return use_up_budget(cx);
            }
            Some(hang @ (Reply::Hang | Reply::After(..))) => {
                this.reply = Some(hang);
                return Poll::Pending;
            }
            None => panic!("the future of a call was polled after completion"),
        };
        this.in_flight.complete();
        Poll::Ready(result)
    }
}

impl<Res> fmt::Debug for ResponseFuture<Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
