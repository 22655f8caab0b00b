use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{BoxError, ClassifyResponse, Clock, Effect, Verdict, judge, verdict_of_error};
use sandtower_time::TokioClock;

use crate::alternative::Alternative;
use crate::error::{AlternativeFailed, First};
use crate::failed::Failed;
use crate::service::Shared;
use crate::when::is_harmless;

pin_project! {
    /// The answer of the first service, or of the alternative.
    ///
    /// The failed answer is given up before the alternative begins: nothing of it is held while that
    /// is waited for. Dropping the future drops whichever of the two is under way.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, Req, Res, A, J>
    where
        A: Alternative<Req, Res>,
    {
        #[pin]
        state: State<F, A::Answer>,
        judge: J,
        kept: Option<A::Kept>,
        shared: Arc<Shared<A>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, T> {
        // The first service failed to become ready.
        Unready { error: Option<BoxError> },
        First { #[pin] future: F },
        Second { #[pin] answer: T, first: Option<First> },
    }
}

impl<F, Req, Res, A, J> ResponseFuture<F, Req, Res, A, J>
where
    A: Alternative<Req, Res>,
{
    pub(crate) fn new(
        first: Result<F, BoxError>,
        judge: J,
        kept: Option<A::Kept>,
        shared: Arc<Shared<A>>,
    ) -> Self {
        let state = match first {
            Ok(future) => State::First { future },
            Err(error) => State::Unready { error: Some(error) },
        };
        Self { state, judge, kept, shared }
    }
}

impl<F, Req, Res, A, J, E> Future for ResponseFuture<F, Req, Res, A, J>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    A: Alternative<Req, Res>,
    J: ClassifyResponse<Res>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (answer, verdict) = match this.state.as_mut().project() {
                StateProj::Unready { error } => {
                    let Some(error) = error.take() else { return Poll::Pending };
                    let verdict = verdict_of_error(&*error).unwrap_or(Verdict::unknown());
                    // Whatever it may have done to others, nothing of this call was sent.
                    (Err(error), verdict.effect(Effect::None))
                }
                StateProj::First { future } => {
                    let answer = ready!(future.poll(cx)).map_err(Into::into);
                    let verdict = judge(this.judge, answer.as_ref());
                    (answer, verdict)
                }
                StateProj::Second { answer, first } => {
                    let answer = ready!(answer.poll(cx));
                    let verdict = judge(this.judge, answer.as_ref());
                    let handle = &this.shared.handle;
                    handle.ended(this.judge.info(), &verdict);
                    return Poll::Ready(match (answer, first.take()) {
                        (Err(error), Some(first)) => {
                            Err(AlternativeFailed::new(handle.shared_name(), first, error).into())
                        }
                        (answer, _) => answer,
                    });
                }
            };
            match this.alternative(answer.as_ref(), verdict) {
                Some(other) => {
                    let first = First { outcome: verdict.outcome, error: answer.err() };
                    this.state.set(State::Second { answer: other, first: Some(first) });
                }
                None => return Poll::Ready(answer),
            }
        }
    }
}

impl<F, Req, Res, A, J> Projection<'_, F, Req, Res, A, J>
where
    A: Alternative<Req, Res>,
    J: ClassifyResponse<Res>,
{
    /// The other way, if there is one for this answer.
    fn alternative(
        &mut self,
        answer: Result<&Res, &BoxError>,
        verdict: Verdict,
    ) -> Option<A::Answer> {
        if !self.shared.when.covers(verdict.outcome) {
            return None;
        }
        let (info, kept) = (*self.judge.info(), self.kept.take()?);
        let Shared { alternative, handle, .. } = &**self.shared;
        if alternative.repeats() {
            if !is_harmless(&info, &verdict) {
                handle.unsafe_to_replay();
                return None;
            }
            if info.deadline.is_some_and(|deadline| TokioClock.now() >= deadline) {
                handle.out_of_time();
                return None;
            }
        }
        let other = alternative.begin(kept, &Failed::new(&info, verdict, answer))?;
        handle.used(&info, &verdict);
        Some(other)
    }
}

impl<F, Req, Res, A, J> std::fmt::Debug for ResponseFuture<F, Req, Res, A, J>
where
    A: Alternative<Req, Res>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Unready { .. } => "unready",
            State::First { .. } => "first",
            State::Second { .. } => "second",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
