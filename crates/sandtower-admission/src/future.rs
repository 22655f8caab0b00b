use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Clock, Gate, Guard, Judge, Refusal, Tick, WhenReady, judge};
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use crate::progress::Inside;
use crate::room::Room;
use crate::ticket::{Ticket, Turn};

pin_project! {
    /// Waits for its turn, sends the request, and waits for the answer.
    ///
    /// Dropped while it waits, it leaves the line; dropped later, it frees its slot, and the gates
    /// hear that the attempt was cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, G: Gate, J>
    where
        S: Service<Req>,
    {
        judge: J,
        #[pin]
        state: State<S, Req, G, WhenReady<S, Req>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, G: Gate, F> {
        Refused { error: Option<BoxError> },
        Queued { ticket: Ticket<G>, inner: Option<(S, Req)>, #[pin] sleep: Sleep },
        Admitted { guard: Option<Guard<Room<G>, TokioClock>>, #[pin] call: F, inside: Inside },
    }
}

impl<S: Service<Req>, Req, G: Gate, J> ResponseFuture<S, Req, G, J> {
    pub(crate) fn refused(judge: J, refusal: Refusal) -> Self {
        Self { judge, state: State::Refused { error: Some(refusal.into()) } }
    }

    pub(crate) fn queued(judge: J, ticket: Ticket<G>, inner: S, request: Req) -> Self {
        let sleep = Sleep::until(Tick::MAX);
        Self { judge, state: State::Queued { ticket, inner: Some((inner, request)), sleep } }
    }

    pub(crate) fn admitted(
        judge: J,
        guard: Guard<Room<G>, TokioClock>,
        call: WhenReady<S, Req>,
        inside: Inside,
    ) -> Self {
        Self { judge, state: State::Admitted { guard: Some(guard), call, inside } }
    }
}

impl<S, Req, G, J> Future for ResponseFuture<S, Req, G, J>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    G: Gate,
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
                StateProj::Queued { ticket, inner, mut sleep } => {
                    match ticket.look(cx, TokioClock.now()) {
                        Turn::Wait(until) => {
                            sleep.as_mut().reset(until);
                            ready!(sleep.poll(cx));
                            continue;
                        }
                        Turn::Refused(refusal) => State::Refused { error: Some(refusal.into()) },
                        Turn::Admitted(token) => {
                            let guard = Guard::new(
                                ticket.room().clone(),
                                TokioClock,
                                *ticket.asked(),
                                token,
                            );
                            let Some((inner, request)) = inner.take() else {
                                return Poll::Pending;
                            };
                            let call = WhenReady::new(inner, request);
                            State::Admitted { guard: Some(guard), call, inside: ticket.inside() }
                        }
                    }
                }
                StateProj::Admitted { guard, mut call, inside: _ } => {
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

impl<S: Service<Req>, Req, G: Gate, J> std::fmt::Debug for ResponseFuture<S, Req, G, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Queued { .. } => "queued",
            State::Admitted { .. } => "admitted",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
