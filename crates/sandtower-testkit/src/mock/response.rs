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
    script::Answer,
    use_up_budget,
};
use crate::BoxError;

/// Answers one call to a [`Mock`](crate::Mock) as its script says.
///
/// # Panics
///
/// When it is polled again after it has answered.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Res> {
    answer: Option<Answer<Res>>,
    delay: Option<Pin<Box<Sleep>>>,
    in_flight: InFlight,
}

impl<Res> ResponseFuture<Res> {
    pub(crate) fn new(answer: Answer<Res>, in_flight: InFlight) -> Self {
        let mut future = Self { answer: Some(answer), delay: None, in_flight };
        // A delay counts from the call, not from the first poll of its future.
        future.start_delay();
        future
    }

    fn start_delay(&mut self) {
        if let Some(Answer::After(delay, then)) =
            self.answer.take_if(|answer| matches!(answer, Answer::After(..)))
        {
            self.delay = Some(Box::pin(tokio::time::sleep(delay)));
            self.answer = Some(*then);
        }
    }
}

// The response is only ever moved out of its future, never pinned.
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
        let result = match this.answer.take() {
            Some(Answer::Ok(response)) => Ok(response),
            Some(Answer::Err(error)) => Err(error),
            Some(Answer::Busy) => {
                this.answer = Some(Answer::Busy);
                return use_up_budget(cx);
            }
            Some(hang @ (Answer::Hang | Answer::After(..))) => {
                this.answer = Some(hang);
                return Poll::Pending;
            }
            None => panic!("the future of a call was polled again after it had answered"),
        };
        this.in_flight.answer();
        Poll::Ready(result)
    }
}

impl<Res> fmt::Debug for ResponseFuture<Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
