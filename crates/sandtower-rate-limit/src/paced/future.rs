use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    Asked, BoxError, Clock, Guard, Judge, Place, Refusal, Tick, WhenReady, judge,
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
    pub struct PaceFuture<S, Req, J>
    where
        S: Service<Req>,
    {
        judge: J,
        #[pin]
        state: State<S, Req, WhenReady<S, Req>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, F> {
        Refused { error: Option<BoxError> },
        Waiting { ticket: Ticket, inner: Option<(S, Req)>, #[pin] deadline: Sleep },
        Admitted { guard: Option<Guard<Pacer, TokioClock>>, #[pin] call: F },
    }
}

/// A place in line. Dropped, it is left.
struct Ticket {
    pacer: Pacer,
    asked: Asked,
    arrived: Tick,
    /// `None` until the future is first polled: a call that nobody polls must not hold a line up.
    place: Option<Place>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.pacer.leave(self.asked.operation, place);
        }
    }
}

impl<S: Service<Req>, Req, J> PaceFuture<S, Req, J> {
    pub(crate) fn refused(judge: J, refusal: Refusal) -> Self {
        Self { judge, state: State::Refused { error: Some(refusal.into()) } }
    }

    pub(crate) fn waiting(
        judge: J,
        pacer: Pacer,
        asked: Asked,
        now: Tick,
        inner: (S, Req),
    ) -> Self {
        let arrived = asked.arrived.unwrap_or(now);
        let ticket = Ticket { pacer, asked, arrived, place: None };
        let deadline = Sleep::until(Tick::MAX);
        Self { judge, state: State::Waiting { ticket, inner: Some(inner), deadline } }
    }

    pub(crate) fn admitted(
        judge: J,
        guard: Guard<Pacer, TokioClock>,
        call: WhenReady<S, Req>,
    ) -> Self {
        Self { judge, state: State::Admitted { guard: Some(guard), call } }
    }
}

impl<S, Req, J> Future for PaceFuture<S, Req, J>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    J: Judge<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { error } => {
                    return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
                StateProj::Waiting { ticket, inner, mut deadline } => {
                    let Ticket { pacer, asked, arrived, place } = ticket;
                    match pacer.look(asked, *arrived, place, cx.waker(), TokioClock.now()) {
                        Turn::Wait(until) => {
                            deadline.as_mut().reset(until);
                            ready!(deadline.poll(cx));
                            continue;
                        }
                        Turn::Refused(refusal) => State::Refused { error: Some(refusal.into()) },
                        Turn::Admitted(token) => {
                            let guard = Guard::new(pacer.clone(), TokioClock, *asked, token);
                            let Some((inner, request)) = inner.take() else {
                                return Poll::Pending;
                            };
                            let call = WhenReady::new(inner, request);
                            State::Admitted { guard: Some(guard), call }
                        }
                    }
                }
                StateProj::Admitted { guard, mut call } => {
                    if !call.is_sent() {
                        if let Err(error) = ready!(call.as_mut().poll_sent(cx)) {
                            let error = error.into();
                            if let Some(guard) = guard.take() {
                                guard.unready(&error);
                            }
                            return Poll::Ready(Err(error));
                        }
                        if let Some(guard) = guard {
                            guard.sent(TokioClock.now());
                        }
                    }
                    let result = ready!(call.poll(cx)).map_err(Into::into);
                    if let Some(guard) = guard.take() {
                        guard.settle(judge(this.judge, result.as_ref()));
                    }
                    return Poll::Ready(result);
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, Req, J> std::fmt::Debug for PaceFuture<S, Req, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Waiting { .. } => "waiting",
            State::Admitted { .. } => "admitted",
        };
        f.debug_struct("PaceFuture").field("state", &state).finish_non_exhaustive()
    }
}
