use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Clock, Guard, HasInfo, Place, Rejection, RequestInfo, Tick,
    WhenReady, judge,
};
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use super::pacer::{Pacer, Turn};

pin_project! {
    /// Waits for the instant at which its attempt is predicted to pass, sends it, and waits for the
    /// answer.
    ///
    /// Dropped while it waits, it leaves the line and nothing behind; dropped later, the limit hears
    /// that the attempt was cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct PaceFuture<S, Req, J: HasInfo>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, J, WhenReady<S, Req>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, J: HasInfo, F> {
        Rejected { error: Option<BoxError> },
        // What is sent, by whom, and who judges the answer.
        Waiting { ticket: Ticket, call: Option<(S, Req, J)>, #[pin] deadline: Sleep },
        Admitted { guard: Guard<Pacer, TokioClock, J>, #[pin] call: F },
    }
}

/// A place in line. Dropped, it is left.
struct Ticket {
    pacer: Pacer,
    info: RequestInfo,
    arrived: Tick,
    /// `None` until the future is first polled: a call that nobody polls must not hold a line up.
    place: Option<Place>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.pacer.leave(self.info.operation, place);
        }
    }
}

impl<S: Service<Req>, Req, J: HasInfo> PaceFuture<S, Req, J> {
    pub(crate) fn rejected(rejection: Rejection) -> Self {
        Self { state: State::Rejected { error: Some(rejection.into()) } }
    }

    pub(crate) fn waiting(pacer: Pacer, now: Tick, call: (S, Req, J)) -> Self {
        let info = *call.2.info();
        let arrived = info.arrived.unwrap_or(now);
        let ticket = Ticket { pacer, info, arrived, place: None };
        let deadline = Sleep::until(Tick::MAX);
        Self { state: State::Waiting { ticket, call: Some(call), deadline } }
    }

    pub(crate) fn admitted(guard: Guard<Pacer, TokioClock, J>, call: WhenReady<S, Req>) -> Self {
        Self { state: State::Admitted { guard, call } }
    }
}

impl<S, Req, J> Future for PaceFuture<S, Req, J>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    J: ClassifyResponse<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Rejected { error } => {
                    return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
                StateProj::Waiting { ticket, call, mut deadline } => {
                    let Ticket { pacer, info, arrived, place } = ticket;
                    match pacer.look(info, *arrived, place, cx.waker(), TokioClock.now()) {
                        Turn::Wait(until) => {
                            deadline.as_mut().reset(until);
                            ready!(deadline.poll(cx));
                            continue;
                        }
                        Turn::Rejected(rejection) => {
                            State::Rejected { error: Some(rejection.into()) }
                        }
                        Turn::Admitted(token) => {
                            let Some((inner, request, judge)) = call.take() else {
                                return Poll::Pending;
                            };
                            let guard = Guard::new(pacer.clone(), TokioClock, judge, token);
                            State::Admitted { guard, call: WhenReady::new(inner, request) }
                        }
                    }
                }
                StateProj::Admitted { guard, mut call } => {
                    if !call.is_sent() {
                        if let Err(error) = ready!(call.as_mut().poll_sent(cx)) {
                            let error = error.into();
                            guard.unready(&error);
                            return Poll::Ready(Err(error));
                        }
                        guard.sent(TokioClock.now());
                    }
                    let result = ready!(call.poll(cx)).map_err(Into::into);
                    guard.settle(judge(guard.judge(), result.as_ref()));
                    return Poll::Ready(result);
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, Req, J: HasInfo> std::fmt::Debug for PaceFuture<S, Req, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Rejected { .. } => "rejected",
            State::Waiting { .. } => "waiting",
            State::Admitted { .. } => "admitted",
        };
        f.debug_struct("PaceFuture").field("state", &state).finish_non_exhaustive()
    }
}
