use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Effect, Outcome, Resend, Sleep, StageKind, Tick, Verdict,
    WhenReady, judge, recording,
};
use tower_service::Service;

use crate::decide::{Decision, Stop};
use crate::history::History;
use crate::hooks::{Found, Reconcile, ResponseHooks};
use crate::layer::Shared;
use crate::retries_exhausted::RetriesExhausted;

pin_project! {
    /// The response to the last attempt.
    ///
    /// A failed response is discarded before the wait for the next attempt. Dropping the future ends the call
    /// in any state; budget that was withdrawn is not refunded.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, C, R, H, L>
    where
        S: Service<Req>,
        H: ResponseHooks<S::Response>,
        L: Reconcile<S, Req, S::Response>,
    {
        #[pin]
        state: State<S::Future, Later<WhenReady<S, Req>, H::Discard, L::Look, S::Response>>,
        classifier: C,
        arrived: Tick,
        // Never sent itself: each later attempt is a copy, made when the retry is decided, so that a
        // request that is no longer resendable by then is not sent.
        template: Option<Req>,
        // The next attempt, while it waits.
        next: Option<Box<Req>>,
        shared: Arc<Shared<S, R, H, L>>,
        // `None` until the first failure. Boxed, since it is large and most calls do without.
        history: Option<Box<History>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, L> {
        First { #[pin] future: F },
        // Boxed for the same reason as the history.
        Later { later: Pin<Box<L>> },
        Done,
    }
}

pin_project! {
    // After the first attempt has failed.
    #[project = LaterProj]
    enum Later<W, D, L, Res> {
        // Until the next attempt is due. What was not discarded by then is dropped.
        Wait { #[pin] sleep: Sleep, #[pin] discard: Option<D> },
        // Reconciles the last attempt before the next.
        Look { #[pin] look: L, failed: Option<(Result<Res, BoxError>, Verdict)> },
        Again { #[pin] attempt: W, #[pin] late: Sleep },
    }
}

type LaterOf<S, Req, H, L> = Later<
    WhenReady<S, Req>,
    <H as ResponseHooks<<S as Service<Req>>::Response>>::Discard,
    <L as Reconcile<S, Req, <S as Service<Req>>::Response>>::Look,
    <S as Service<Req>>::Response,
>;

/// The result of a poll.
enum Step<Res> {
    Responded(Result<Res, BoxError>),
    /// The service below failed to become ready: nothing was sent.
    NotReady(BoxError),
    Found(Found<Res>, Result<Res, BoxError>, Verdict),
    /// The wait is over.
    Due,
    /// The deadline came before an instance was ready.
    Late,
}

impl<S, Req, C, R, H, L> ResponseFuture<S, Req, C, R, H, L>
where
    S: Service<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    pub(crate) fn new(
        first: S::Future,
        classifier: C,
        arrived: Tick,
        template: Option<Req>,
        shared: Arc<Shared<S, R, H, L>>,
    ) -> Self {
        let state = State::First { future: first };
        Self { state, classifier, arrived, template, next: None, shared, history: None }
    }
}

impl<S, Req, C, R, H, L> Future for ResponseFuture<S, Req, C, R, H, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let done = match ready!(self.as_mut().step(cx)) {
                Step::Responded(result) => self.as_mut().responded(result, cx),
                Step::NotReady(error) => self.as_mut().not_ready(error, cx),
                Step::Found(found, result, verdict) => {
                    self.as_mut().found(found, result, verdict, cx)
                }
                Step::Due => {
                    self.as_mut().project().begin_again();
                    None
                }
                Step::Late => Some(self.as_mut().late()),
            };
            if let Some(result) = done {
                self.project().state.set(State::Done);
                return Poll::Ready(result);
            }
        }
    }
}

impl<S, Req, C, R, H, L> ResponseFuture<S, Req, C, R, H, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<S::Response>> {
        match self.project().state.project() {
            StateProj::First { future } => {
                future.poll(cx).map(|result| Step::Responded(result.map_err(Into::into)))
            }
            StateProj::Later { later } => Self::step_later(later.as_mut(), cx),
            StateProj::Done => panic!("`ResponseFuture` polled after completion"),
        }
    }

    fn step_later(
        later: Pin<&mut LaterOf<S, Req, H, L>>,
        cx: &mut Context<'_>,
    ) -> Poll<Step<S::Response>> {
        match later.project() {
            LaterProj::Wait { sleep, mut discard } => {
                if let Some(discarding) = discard.as_mut().as_pin_mut()
                    && discarding.poll(cx).is_ready()
                {
                    discard.set(None);
                }
                sleep.poll(cx).map(|()| Step::Due)
            }
            LaterProj::Look { look, failed } => {
                let found = ready!(look.poll(cx));
                let Some((result, verdict)) = failed.take() else {
                    unreachable!("what was found ends the look")
                };
                Poll::Ready(Step::Found(found, result, verdict))
            }
            LaterProj::Again { mut attempt, late } => {
                if !attempt.is_sent() {
                    match attempt.as_mut().poll_sent(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(Step::NotReady(error.into()));
                        }
                        Poll::Pending => return late.poll(cx).map(|()| Step::Late),
                    }
                }
                attempt.poll(cx).map(|result| Step::Responded(result.map_err(Into::into)))
            }
        }
    }

    /// `None`: there will be another attempt.
    fn responded(
        self: Pin<&mut Self>,
        result: Result<S::Response, BoxError>,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let verdict = judge(&self.classifier, result.as_ref());
        if verdict.shows_service_alive() {
            self.shared.fund(self.classifier.info().scope);
        }
        if verdict.is_success() && self.history.is_none() {
            return Some(result);
        }
        self.classified(result, verdict, true, cx)
    }

    fn not_ready(
        self: Pin<&mut Self>,
        error: BoxError,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let verdict = judge(&self.classifier, Err(&error)).effect(Effect::None);
        self.classified(Err(error), verdict, true, cx)
    }

    fn classified(
        mut self: Pin<&mut Self>,
        result: Result<S::Response, BoxError>,
        verdict: Verdict,
        may_look: bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let this = self.as_mut().project();
        let (arrived, now) = (*this.arrived, Tick::now());
        let info = this.classifier.info().arrived(Some(arrived));
        let Shared { handle, resend, reconcile, .. } = &**this.shared;
        let status = result.as_ref().ok().and_then(|response| this.classifier.status(response));
        let history = this
            .history
            .get_or_insert_with(|| Box::new(History::new(arrived, handle.seed().rng())));
        let (template, next) = (&*this.template, this.next);
        let decision = history.decide(handle, &info, &verdict, now, || {
            *next = template.as_ref().and_then(|request| resend.copy(request)).map(Box::new);
            next.is_some()
        });
        if let (true, Decision::Stop(Stop::UnsafeToReplay), Some(request)) =
            (may_look, decision, template)
            && let Some(look) = reconcile.look(this.shared.fresh(), request, &history.attempt)
        {
            recording::failed(verdict.outcome, status, StageKind::Reconcile, now);
            self.project().go_on(Later::Look { look, failed: Some((result, verdict)) });
            return None;
        }
        history.count(handle, &info, &verdict, decision);
        match decision {
            Decision::Stop(stop) => Some(self.end(result, stop)),
            Decision::Again | Decision::After(_) => {
                history.next(verdict.outcome);
                recording::failed(verdict.outcome, status, StageKind::Backoff, now);
                self.discard(result, decision, now, cx);
                None
            }
        }
    }

    fn found(
        mut self: Pin<&mut Self>,
        found: Found<S::Response>,
        result: Result<S::Response, BoxError>,
        verdict: Verdict,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        match found {
            Found::Nothing => self.classified(result, verdict.effect(Effect::None), false, cx),
            Found::Unknown => self.classified(result, verdict, false, cx),
            Found::Adopt(adopted) => {
                let this = self.as_mut().project();
                if let Some(history) = this.history {
                    let (info, stop) = (this.classifier.info(), Decision::Stop(Stop::Adopted));
                    history.count(&this.shared.handle, info, &verdict, stop);
                }
                Some(self.end(Ok(adopted), Stop::Adopted))
            }
        }
    }

    /// Discards a failed response and waits for the next attempt.
    fn discard(
        self: Pin<&mut Self>,
        result: Result<S::Response, BoxError>,
        decision: Decision,
        now: Tick,
        cx: &mut Context<'_>,
    ) {
        let mut this = self.project();
        let discard = match result {
            Ok(response) => Some(this.shared.hooks.discard(response)),
            Err(error) => {
                if let Some(history) = this.history {
                    history.last_error = Some(error);
                }
                None
            }
        };
        if let Decision::After(wait) = decision {
            this.go_on(Later::Wait { sleep: Sleep::until(now + wait), discard });
            return;
        }
        if let Some(discard) = discard {
            // There is no wait to do it in: what takes longer than one poll is dropped.
            let _done = pin!(discard).poll(cx);
        }
        this.begin_again();
    }

    /// The deadline came before an instance was ready.
    fn late(self: Pin<&mut Self>) -> Result<S::Response, BoxError> {
        let this = self.project();
        this.shared.handle.stopped(Stop::OutOfTime);
        match this.history {
            Some(history) => Err(history.exhausted(None)),
            // Only a call that has failed gets here.
            None => Err(RetriesExhausted::too_late(0, Outcome::Unknown, None).into()),
        }
    }

    /// The result for the caller.
    fn end(
        self: Pin<&mut Self>,
        result: Result<S::Response, BoxError>,
        stop: Stop,
    ) -> Result<S::Response, BoxError> {
        let this = self.project();
        match (result, this.history) {
            (Err(rejection), Some(history)) if stop == Stop::Rejected && history.has_failed() => {
                Err(history.exhausted(Some(rejection)))
            }
            (Ok(mut response), Some(history)) if history.has_failed() || stop == Stop::Adopted => {
                this.shared.hooks.stamp(&mut response, &history.attempt);
                Ok(response)
            }
            (result, _) => result,
        }
    }
}

impl<S, Req, C, R, H, L> Projection<'_, S, Req, C, R, H, L>
where
    S: Service<Req> + Clone,
    C: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    /// Begins the next attempt on an instance of its own.
    fn begin_again(&mut self) {
        let (Some(mut request), Some(history)) = (self.next.take(), &self.history) else {
            unreachable!("an attempt is decided on only with a copy of the request")
        };
        self.shared.resend.stamp(&mut request, &history.attempt);
        if recording::is_on() {
            recording::attempt(history.attempt.number, Tick::now());
        }
        let attempt = WhenReady::new(self.shared.fresh(), *request);
        let late = Sleep::until(self.classifier.info().deadline.unwrap_or(Tick::MAX));
        self.go_on(Later::Again { attempt, late });
    }

    fn go_on(&mut self, next: LaterOf<S, Req, H, L>) {
        match self.state.as_mut().project() {
            StateProj::Later { later } => later.as_mut().set(next),
            _ => self.state.set(State::Later { later: Box::pin(next) }),
        }
    }
}

impl<S, Req, C, R, H, L> std::fmt::Debug for ResponseFuture<S, Req, C, R, H, L>
where
    S: Service<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("history", &self.history).finish_non_exhaustive()
    }
}
