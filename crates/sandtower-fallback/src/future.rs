use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    About, BoxError, ClassifyResponse, Effect, StageKind, Tick, Verdict, judge, recording,
    verdict_of_error,
};

use crate::alternative::Alternative;
use crate::error::{AlternativeFailed, First};
use crate::failed::Failed;
use crate::service::Shared;
use crate::when::is_harmless;

pin_project! {
    /// The response of the first service, or of the alternative.
    ///
    /// A failed response is dropped before the alternative starts. Dropping the future drops the one that is
    /// in flight.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, Req, Res, A, C>
    where
        A: Alternative<Req, Res>,
    {
        #[pin]
        state: State<F, A::Future>,
        classifier: C,
        kept: Option<A::Kept>,
        shared: Arc<Shared<A>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, T> {
        // The first service failed to become ready.
        NotReady { error: Option<BoxError> },
        First { #[pin] future: F },
        Second { #[pin] future: T, first: Option<First> },
        Done,
    }
}

impl<F, Req, Res, A, C> ResponseFuture<F, Req, Res, A, C>
where
    A: Alternative<Req, Res>,
{
    pub(crate) fn new(
        first: Result<F, BoxError>,
        classifier: C,
        kept: Option<A::Kept>,
        shared: Arc<Shared<A>>,
    ) -> Self {
        let state = match first {
            Ok(future) => State::First { future },
            Err(error) => State::NotReady { error: Some(error) },
        };
        Self { state, classifier, kept, shared }
    }
}

impl<F, Req, Res, A, C, E> Future for ResponseFuture<F, Req, Res, A, C>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    A: Alternative<Req, Res>,
    C: ClassifyResponse<Res>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = loop {
            let (result, verdict) = match this.state.as_mut().project() {
                StateProj::NotReady { error } => {
                    let Some(error) = error.take() else { unreachable!("it is taken once") };
                    let verdict = verdict_of_error(&*error).unwrap_or(Verdict::unknown());
                    // Nothing of this call was sent, whatever the verdict of the error.
                    (Err(error), verdict.effect(Effect::None))
                }
                StateProj::First { future } => {
                    let result = ready!(future.poll(cx)).map_err(Into::into);
                    let verdict = judge(this.classifier, result.as_ref());
                    (result, verdict)
                }
                StateProj::Second { future, first } => {
                    let result = ready!(future.poll(cx));
                    let verdict = judge(this.classifier, result.as_ref());
                    let handle = &this.shared.handle;
                    handle.ended(this.classifier.info(), &verdict);
                    break match (result, first.take()) {
                        (Err(error), Some(first)) => {
                            Err(AlternativeFailed::new(handle.shared_name(), first, error).into())
                        }
                        (result, _) => result,
                    };
                }
                StateProj::Done => panic!("`ResponseFuture` polled after completion"),
            };
            match this.alternative(result.as_ref(), verdict) {
                Some(future) => {
                    if recording::is_on() {
                        let response = result.as_ref().ok();
                        let status = response.and_then(|response| this.classifier.status(response));
                        let next = StageKind::Fallback;
                        recording::failed(verdict.outcome, status, next, Tick::now());
                    }
                    let first = First { outcome: verdict.outcome, error: result.err() };
                    this.state.set(State::Second { future, first: Some(first) });
                }
                None => break result,
            }
        };
        this.state.set(State::Done);
        Poll::Ready(result)
    }
}

impl<F, Req, Res, A, C> Projection<'_, F, Req, Res, A, C>
where
    A: Alternative<Req, Res>,
    C: ClassifyResponse<Res>,
{
    /// The alternative, if there is one for this result.
    fn alternative(
        &mut self,
        result: Result<&Res, &BoxError>,
        verdict: Verdict,
    ) -> Option<A::Future> {
        if !self.shared.when.covers(verdict.outcome) {
            return None;
        }
        let (info, kept) = (*self.classifier.info(), self.kept.take()?);
        let Shared { alternative, handle, .. } = &**self.shared;
        if alternative.repeats() {
            // The caller would fail there too.
            if verdict.about == About::Caller {
                return None;
            }
            if !is_harmless(&info, &verdict) {
                handle.unsafe_to_replay();
                return None;
            }
            if info.deadline.is_some_and(|deadline| Tick::now() >= deadline) {
                handle.out_of_time();
                return None;
            }
        }
        let other = alternative.begin(kept, &Failed::new(&info, verdict, result))?;
        handle.used(&info, &verdict);
        Some(other)
    }
}

impl<F, Req, Res, A, C> std::fmt::Debug for ResponseFuture<F, Req, Res, A, C>
where
    A: Alternative<Req, Res>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::NotReady { .. } => "not ready",
            State::First { .. } => "first",
            State::Second { .. } => "second",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
