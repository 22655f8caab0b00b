use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Gate, Guard, HasInfo, Now, Rejection, Sleep, Tick, WhenReady,
};
use tower_service::Service;

use crate::control::AdmissionControl;
use crate::progress::Admitted;
use crate::ticket::{Look, Ticket};

pin_project! {
    /// Waits in the queue, sends the request, and waits for the response.
    ///
    /// Dropping it while queued leaves the queue. Dropping it later frees the slot, and the gates record
    /// the attempt as cancelled.
    ///
    /// # Panics
    ///
    /// When it is polled after completion.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, G: Gate, C: HasInfo>
    where
        S: Service<Req>,
    {
        // Boxed because it is large, and only queued calls need it.
        queued: Option<Pin<Box<Queued<S, Req, G, C>>>>,
        rejection: Option<BoxError>,
        // From its turn on. Flat: a state of several parts is put together first, and then copied
        // to its place.
        guard: Option<Guard<AdmissionControl<G>, C>>,
        #[pin]
        call: Option<WhenReady<S, Req>>,
        admitted: Admitted,
    }
}

/// An admitted call.
struct Turn<S: Service<Req>, Req, G: Gate, C: HasInfo> {
    guard: Guard<AdmissionControl<G>, C>,
    call: WhenReady<S, Req>,
    admitted: Admitted,
}

pin_project! {
    struct Queued<S, Req, G: Gate, C> {
        ticket: Ticket<G>,
        // The request, the service instance, and the response classifier.
        call: Option<(S, Req, C)>,
        #[pin]
        sleep: Sleep,
    }
}

impl<S: Service<Req>, Req, G: Gate, C: HasInfo> ResponseFuture<S, Req, G, C> {
    #[cold]
    pub(crate) fn rejected(rejection: Rejection) -> Self {
        let (rejection, admitted) = (Some(rejection.into()), Admitted::default());
        Self { queued: None, rejection, guard: None, call: None, admitted }
    }

    #[cold]
    pub(crate) fn queued(ticket: Ticket<G>, inner: S, request: Req, classifier: C) -> Self {
        let (call, sleep) = (Some((inner, request, classifier)), Sleep::until(Tick::MAX));
        let queued = Some(Box::pin(Queued { ticket, call, sleep }));
        let admitted = Admitted::default();
        Self { queued, rejection: None, guard: None, call: None, admitted }
    }

    #[inline]
    pub(crate) fn admitted(
        guard: Guard<AdmissionControl<G>, C>,
        call: WhenReady<S, Req>,
        admitted: Admitted,
    ) -> Self {
        Self { queued: None, rejection: None, guard: Some(guard), call: Some(call), admitted }
    }
}

impl<S, Req, G, C> Future for ResponseFuture<S, Req, G, C>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    G: Gate,
    C: ClassifyResponse<S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(queued) = this.queued {
            let turn = ready!(queued.as_mut().poll_turn(cx));
            *this.queued = None;
            match turn {
                Ok(Turn { guard, call, admitted }) => {
                    (*this.guard, *this.admitted) = (Some(guard), admitted);
                    this.call.set(Some(call));
                }
                Err(rejection) => return Poll::Ready(Err(rejection.into())),
            }
        }
        let (Some(guard), Some(mut call)) = (this.guard, this.call.as_pin_mut()) else {
            match this.rejection.take() {
                Some(rejection) => return Poll::Ready(Err(rejection)),
                None => panic!("`ResponseFuture` polled after completion"),
            }
        };
        if !call.is_sent() {
            if let Err(error) = ready!(call.as_mut().poll_sent(cx)) {
                let error = error.into();
                guard.not_ready(&error);
                return Poll::Ready(Err(error));
            }
            guard.sent(Tick::now());
        }
        let result = ready!(call.poll(cx)).map_err(Into::into);
        guard.classify(result.as_ref());
        Poll::Ready(result)
    }
}

impl<S, Req, G, C> Queued<S, Req, G, C>
where
    S: Service<Req>,
    G: Gate,
    C: HasInfo,
{
    /// What comes after the wait.
    fn poll_turn(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Turn<S, Req, G, C>, Rejection>> {
        let mut this = self.project();
        loop {
            match this.ticket.look(cx.waker(), &Now::new()) {
                Look::Wait(until) => {
                    this.sleep.as_mut().reset(until);
                    ready!(this.sleep.as_mut().poll(cx));
                }
                Look::Rejected(rejection) => return Poll::Ready(Err(rejection)),
                Look::Admitted(slot) => {
                    let control = this.ticket.control().clone();
                    let Some((inner, request, classifier)) = this.call.take() else {
                        panic!("`ResponseFuture` polled after completion")
                    };
                    let guard = Guard::new(control, classifier, slot);
                    let (call, admitted) = (WhenReady::new(inner, request), this.ticket.admitted());
                    return Poll::Ready(Ok(Turn { guard, call, admitted }));
                }
            }
        }
    }
}

impl<S: Service<Req>, Req, G: Gate, C: HasInfo> std::fmt::Debug for ResponseFuture<S, Req, G, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match (&self.queued, &self.guard) {
            (Some(_), _) => "queued",
            (None, Some(_)) => "admitted",
            (None, None) => "rejected",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
