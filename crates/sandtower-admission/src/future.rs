use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Clock, Gate, Guard, HasInfo, Rejection, Tick, WhenReady,
};
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use crate::progress::Inside;
use crate::room::AdmissionControl;
use crate::ticket::{Ticket, Turn};

pin_project! {
    /// Waits for its turn, sends the request, and waits for the answer.
    ///
    /// Dropped while it waits, it leaves the line; dropped later, it frees its slot, and the gates
    /// hear that the attempt was cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, G: Gate, J: HasInfo>
    where
        S: Service<Req>,
    {
        // Boxed: it is large, and a call that need not wait is moved around without it.
        queued: Option<Pin<Box<Queued<S, Req, G, J>>>>,
        rejection: Option<BoxError>,
        // From its turn on. Flat: a state of several parts is put together first, and then copied
        // to its place.
        guard: Option<GuardOf<G, J>>,
        #[pin]
        call: Option<WhenReady<S, Req>>,
        inside: Inside,
    }
}

type GuardOf<G, J> = Guard<AdmissionControl<G>, TokioClock, J>;

/// A call whose turn it is.
struct Admitted<S: Service<Req>, Req, G: Gate, J: HasInfo> {
    guard: GuardOf<G, J>,
    call: WhenReady<S, Req>,
    inside: Inside,
}

pin_project! {
    struct Queued<S, Req, G: Gate, J> {
        ticket: Ticket<G>,
        // What is sent, by whom, and who judges the answer.
        call: Option<(S, Req, J)>,
        #[pin]
        sleep: Sleep,
    }
}

impl<S: Service<Req>, Req, G: Gate, J: HasInfo> ResponseFuture<S, Req, G, J> {
    #[cold]
    pub(crate) fn rejected(rejection: Rejection) -> Self {
        let (rejection, inside) = (Some(rejection.into()), Inside::default());
        Self { queued: None, rejection, guard: None, call: None, inside }
    }

    #[cold]
    pub(crate) fn queued(ticket: Ticket<G>, inner: S, request: Req, judge: J) -> Self {
        let (call, sleep) = (Some((inner, request, judge)), Sleep::until(Tick::MAX));
        let queued = Some(Box::pin(Queued { ticket, call, sleep }));
        Self { queued, rejection: None, guard: None, call: None, inside: Inside::default() }
    }

    #[inline]
    pub(crate) fn admitted(guard: GuardOf<G, J>, call: WhenReady<S, Req>, inside: Inside) -> Self {
        Self { queued: None, rejection: None, guard: Some(guard), call: Some(call), inside }
    }
}

impl<S, Req, G, J> Future for ResponseFuture<S, Req, G, J>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    G: Gate,
    J: ClassifyResponse<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(queued) = this.queued {
            let Admitted { guard, call, inside } = match ready!(queued.as_mut().poll_turn(cx)) {
                Ok(admitted) => admitted,
                Err(rejection) => {
                    *this.queued = None;
                    return Poll::Ready(Err(rejection.into()));
                }
            };
            (*this.queued, *this.guard, *this.inside) = (None, Some(guard), inside);
            this.call.set(Some(call));
        }
        let (Some(guard), Some(mut call)) = (this.guard, this.call.as_pin_mut()) else {
            return this
                .rejection
                .take()
                .map_or(Poll::Pending, |rejection| Poll::Ready(Err(rejection)));
        };
        if !call.is_sent() {
            if let Err(error) = ready!(call.as_mut().poll_sent(cx)) {
                let error = error.into();
                guard.unready(&error);
                return Poll::Ready(Err(error));
            }
            guard.sent(TokioClock.now());
        }
        let result = ready!(call.poll(cx)).map_err(Into::into);
        guard.judged(result.as_ref());
        Poll::Ready(result)
    }
}

impl<S, Req, G, J> Queued<S, Req, G, J>
where
    S: Service<Req>,
    G: Gate,
    J: HasInfo,
{
    /// What comes after the wait.
    fn poll_turn(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admitted<S, Req, G, J>, Rejection>> {
        let mut this = self.project();
        loop {
            match this.ticket.look(cx, TokioClock.now()) {
                Turn::Wait(until) => {
                    this.sleep.as_mut().reset(until);
                    ready!(this.sleep.as_mut().poll(cx));
                }
                Turn::Rejected(rejection) => return Poll::Ready(Err(rejection)),
                Turn::Admitted(slot) => {
                    let room = this.ticket.room().clone();
                    // Polled again only by who was told that it is not done.
                    let Some((inner, request, judge)) = this.call.take() else {
                        return Poll::Pending;
                    };
                    let guard = Guard::new(room, TokioClock, judge, slot);
                    let (call, inside) = (WhenReady::new(inner, request), this.ticket.inside());
                    return Poll::Ready(Ok(Admitted { guard, call, inside }));
                }
            }
        }
    }
}

impl<S: Service<Req>, Req, G: Gate, J: HasInfo> std::fmt::Debug for ResponseFuture<S, Req, G, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match (&self.queued, &self.guard) {
            (Some(_), _) => "queued",
            (None, Some(_)) => "admitted",
            (None, None) => "rejected",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
