use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Clock, Effect, Outcome, Resend, Tick, Verdict, WhenReady, judge,
};
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use crate::decide::{Decision, Stop};
use crate::gave_up::GaveUp;
use crate::history::History;
use crate::hooks::{Answers, Found, Reconcile};
use crate::layer::Shared;

pin_project! {
    /// The answer of the last attempt.
    ///
    /// A failed answer is given up before the wait for the next attempt. Dropping the future ends
    /// the call wherever it is; what a retry was paid with stays paid.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, J, R, A, L>
    where
        S: Service<Req>,
        A: Answers<S::Response>,
        L: Reconcile<S, Req, S::Response>,
    {
        #[pin]
        state: State<S::Future, Later<WhenReady<S, Req>, A::Discard, L::Look, S::Response>>,
        judge: J,
        // Never sent itself: each later attempt is a copy of it, made when it is decided on, so that
        // a request that cannot be sent again by then is not.
        template: Option<Req>,
        // The next attempt, while it waits for its time.
        next: Option<Box<Req>>,
        shared: Arc<Shared<S, R, A, L>>,
        // `None` until the first failure: a call that succeeds reads no clock and draws nothing.
        // Boxed, since it is large and most calls are moved around without one.
        history: Option<Box<History>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, L> {
        First { #[pin] future: F },
        // Boxed for the same reason as the history.
        Later { later: Pin<Box<L>> },
    }
}

pin_project! {
    // After the first attempt has failed.
    #[project = LaterProj]
    enum Later<W, D, L, Res> {
        // Until the next attempt is due. What was not given up by then is dropped.
        Wait { #[pin] sleep: Sleep, #[pin] discard: Option<D> },
        // Finds out what became of the attempt before another is made.
        Look { #[pin] look: L, answer: Option<(Result<Res, BoxError>, Verdict)> },
        Again { #[pin] attempt: W, #[pin] late: Sleep },
    }
}

type LaterOf<S, Req, A, L> = Later<
    WhenReady<S, Req>,
    <A as Answers<<S as Service<Req>>::Response>>::Discard,
    <L as Reconcile<S, Req, <S as Service<Req>>::Response>>::Look,
    <S as Service<Req>>::Response,
>;

/// What the present state came to.
enum Step<Res> {
    Answered(Result<Res, BoxError>),
    Found(Found<Res>, Result<Res, BoxError>, Verdict),
    Due,
    Late,
}

impl<S, Req, J, R, A, L> ResponseFuture<S, Req, J, R, A, L>
where
    S: Service<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    pub(crate) fn new(
        first: S::Future,
        judge: J,
        template: Option<Req>,
        shared: Arc<Shared<S, R, A, L>>,
    ) -> Self {
        let state = State::First { future: first };
        Self { state, judge, template, next: None, shared, history: None }
    }
}

impl<S, Req, J, R, A, L> Future for ResponseFuture<S, Req, J, R, A, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    J: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let done = match ready!(self.as_mut().step(cx)) {
                Step::Answered(answer) => self.as_mut().answered(answer, cx),
                Step::Found(found, answer, verdict) => {
                    self.as_mut().found(found, answer, verdict, cx)
                }
                Step::Due => {
                    self.as_mut().again();
                    None
                }
                Step::Late => Some(self.as_mut().late()),
            };
            if let Some(answer) = done {
                return Poll::Ready(answer);
            }
        }
    }
}

impl<S, Req, J, R, A, L> ResponseFuture<S, Req, J, R, A, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    J: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<S::Response>> {
        match self.project().state.project() {
            StateProj::First { future } => {
                future.poll(cx).map(|answer| Step::Answered(answer.map_err(Into::into)))
            }
            StateProj::Later { later } => Self::step_later(later.as_mut(), cx),
        }
    }

    fn step_later(
        later: Pin<&mut LaterOf<S, Req, A, L>>,
        cx: &mut Context<'_>,
    ) -> Poll<Step<S::Response>> {
        match later.project() {
            LaterProj::Wait { sleep, mut discard } => {
                if let Some(giving_up) = discard.as_mut().as_pin_mut()
                    && giving_up.poll(cx).is_ready()
                {
                    discard.set(None);
                }
                sleep.poll(cx).map(|()| Step::Due)
            }
            LaterProj::Look { look, answer } => {
                let found = ready!(look.poll(cx));
                match answer.take() {
                    Some((answer, verdict)) => Poll::Ready(Step::Found(found, answer, verdict)),
                    None => Poll::Pending,
                }
            }
            LaterProj::Again { mut attempt, late } => {
                if !attempt.is_sent() {
                    match attempt.as_mut().poll_sent(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(Step::Answered(Err(error.into())));
                        }
                        Poll::Pending => return late.poll(cx).map(|()| Step::Late),
                    }
                }
                attempt.poll(cx).map(|answer| Step::Answered(answer.map_err(Into::into)))
            }
        }
    }

    /// `None`: there will be another attempt.
    fn answered(
        self: Pin<&mut Self>,
        answer: Result<S::Response, BoxError>,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let verdict = judge(&self.judge, answer.as_ref());
        if verdict.is_success() {
            self.shared.fund(self.judge.info().scope);
            if self.history.is_none() {
                return Some(answer);
            }
        }
        self.judged(answer, verdict, true, cx)
    }

    fn judged(
        mut self: Pin<&mut Self>,
        answer: Result<S::Response, BoxError>,
        verdict: Verdict,
        may_look: bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let this = self.as_mut().project();
        let (info, now) = (*this.judge.info(), TokioClock.now());
        let handle = &this.shared.handle;
        let history = this
            .history
            .get_or_insert_with(|| Box::new(History::new(&info, now, handle.seed().rng())));
        *this.next = this
            .template
            .as_ref()
            .and_then(|request| this.shared.resend.copy(request))
            .map(Box::new);
        let decision = history.decide(handle, &info, &verdict, now, this.next.is_some());
        let unsafe_to_replay = decision == Decision::Stop(Stop::UnsafeToReplay);
        if let (true, Some(request)) = (may_look && unsafe_to_replay, &*this.next)
            && let Some(look) =
                this.shared.reconcile.look(this.shared.service(), request, &history.attempt)
        {
            self.project().go_on(Later::Look { look, answer: Some((answer, verdict)) });
            return None;
        }
        history.count(handle, &info, &verdict, decision);
        match decision {
            Decision::Stop(stop) => Some(self.end(answer, stop)),
            Decision::Again | Decision::After(_) => {
                history.next(verdict.outcome);
                self.give_up(answer, decision, now, cx);
                None
            }
        }
    }

    fn found(
        mut self: Pin<&mut Self>,
        found: Found<S::Response>,
        answer: Result<S::Response, BoxError>,
        verdict: Verdict,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        match found {
            Found::Nothing => self.judged(answer, verdict.effect(Effect::None), false, cx),
            Found::Unknown => self.judged(answer, verdict, false, cx),
            Found::Adopt(adopted) => {
                let this = self.as_mut().project();
                if let Some(history) = this.history {
                    let (info, stop) = (this.judge.info(), Decision::Stop(Stop::Adopted));
                    history.count(&this.shared.handle, info, &verdict, stop);
                }
                Some(self.end(Ok(adopted), Stop::Adopted))
            }
        }
    }

    /// Gives up a failed answer and waits for the next attempt.
    fn give_up(
        self: Pin<&mut Self>,
        answer: Result<S::Response, BoxError>,
        decision: Decision,
        now: Tick,
        cx: &mut Context<'_>,
    ) {
        let mut this = self.project();
        let discard = match answer {
            Ok(answer) => Some(this.shared.answers.discard(answer)),
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
            // There is no wait to do it in: what takes longer than a look is dropped.
            let _done = pin!(discard).poll(cx);
        }
        this.begin_again();
    }

    fn again(self: Pin<&mut Self>) {
        self.project().begin_again();
    }

    /// The deadline came before an instance was ready.
    fn late(self: Pin<&mut Self>) -> Result<S::Response, BoxError> {
        let this = self.project();
        this.shared.handle.stopped(Stop::OutOfTime);
        match this.history {
            Some(history) => Err(history.gave_up(None)),
            // Only a call that has failed gets here.
            None => Err(GaveUp::too_late(0, Outcome::Unknown, None).into()),
        }
    }

    /// The answer for the caller.
    fn end(
        self: Pin<&mut Self>,
        answer: Result<S::Response, BoxError>,
        stop: Stop,
    ) -> Result<S::Response, BoxError> {
        let this = self.project();
        match (answer, this.history) {
            (Err(rejection), Some(history)) if stop == Stop::Rejected && history.has_failed() => {
                Err(history.gave_up(Some(rejection)))
            }
            (Ok(mut answer), Some(history)) if history.has_failed() || stop == Stop::Adopted => {
                this.shared.answers.stamp(&mut answer, &history.attempt);
                Ok(answer)
            }
            (answer, _) => answer,
        }
    }
}

impl<S, Req, J, R, A, L> Projection<'_, S, Req, J, R, A, L>
where
    S: Service<Req> + Clone,
    J: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    /// Begins the next attempt on an instance of its own. Nothing decides on one without a copy.
    fn begin_again(&mut self) {
        let (Some(mut request), Some(history)) = (self.next.take(), &self.history) else { return };
        self.shared.resend.stamp(&mut request, &history.attempt);
        let attempt = WhenReady::new(self.shared.service(), *request);
        let late = Sleep::until(self.judge.info().deadline.unwrap_or(Tick::MAX));
        self.go_on(Later::Again { attempt, late });
    }

    fn go_on(&mut self, next: LaterOf<S, Req, A, L>) {
        match self.state.as_mut().project() {
            StateProj::Later { later } => later.as_mut().set(next),
            StateProj::First { .. } => self.state.set(State::Later { later: Box::pin(next) }),
        }
    }
}

impl<S, Req, J, R, A, L> std::fmt::Debug for ResponseFuture<S, Req, J, R, A, L>
where
    S: Service<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("history", &self.history).finish_non_exhaustive()
    }
}
