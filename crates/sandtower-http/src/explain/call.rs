use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, CallEnd, ClassifyResponse, ExplainedError, Explanation, HasInfo, Outcome, Recording,
    Rejection, Tick, TraceParent, find, judge, recording::Ended,
};
use tracing::Span;

use super::Shared;

pin_project! {
    /// The response, explained.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done.
    #[must_use = "futures do nothing unless polled"]
    pub struct ExplainFuture<F, C: HasInfo> {
        // `None` once it is done.
        #[pin]
        future: Option<F>,
        // `None`: nothing is recorded.
        call: Option<Call<C>>,
    }

    impl<F, C: HasInfo> PinnedDrop for ExplainFuture<F, C> {
        // What is below is dropped first, and within the call.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(call) = this.call {
                call.within(|| this.future.set(None));
                call.cancelled();
            }
        }
    }
}

impl<F, C: HasInfo> ExplainFuture<F, C> {
    #[inline]
    pub(super) fn new(future: F, call: Option<Call<C>>) -> Self {
        Self { future: Some(future), call }
    }
}

impl<F, C, B, E> Future for ExplainFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    C: ClassifyResponse<Response<B>>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`ExplainFuture` polled after completion")
        };
        let polled = match this.call {
            None => future.poll(cx),
            Some(call) => call.within(|| future.poll(cx)),
        };
        let result = ready!(polled).map_err(Into::into);
        this.future.set(None);
        Poll::Ready(match this.call.take() {
            None => result,
            Some(call) => call.ended(result),
        })
    }
}

/// A call that is being recorded.
#[derive(Debug)]
pub(super) struct Call<C> {
    recording: Recording,
    classifier: C,
    shared: Arc<Shared>,
    span: Span,
    trace: Option<TraceParent>,
}

impl<C: HasInfo> Call<C> {
    pub(super) fn new(
        recording: Recording,
        classifier: C,
        shared: Arc<Shared>,
        span: Span,
        trace: Option<TraceParent>,
    ) -> Self {
        Self { recording, classifier, shared, span, trace }
    }

    /// Does `what` as a part of the call.
    #[inline]
    pub(super) fn within<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let _span = self.span.enter();
        let _recording = self.recording.enter();
        what()
    }

    fn cancelled(&mut self) {
        self.report(Ended::new(Outcome::Cancelled), None);
    }

    fn ended<B>(mut self, result: Result<Response<B>, BoxError>) -> Result<Response<B>, BoxError>
    where
        C: ClassifyResponse<Response<B>>,
    {
        let outcome = judge(&self.classifier, result.as_ref()).outcome;
        let response = result.as_ref().ok();
        let status = response.and_then(|response| self.classifier.status(response));
        let error = result.as_ref().err().filter(|_| outcome == Outcome::Rejected);
        let why = error.and_then(|error| find::<Rejection>(&**error));
        let explanation = self.report(Ended { outcome, status }, why);
        let Some(explanation) = explanation.filter(|_| self.shared.explain.attach) else {
            return result;
        };
        match result {
            Ok(mut response) => {
                response.extensions_mut().insert(explanation);
                Ok(response)
            }
            Err(error) => Err(ExplainedError::new(explanation, error).into()),
        }
    }

    /// `None`: it was reported before.
    fn report(&mut self, ended: Ended, why: Option<&Rejection>) -> Option<Explanation> {
        let explanation = self.recording.end(ended, why, Tick::now())?;
        let Shared { explain, events } = &*self.shared;
        let info = self.classifier.info();
        if let Some(traces) = &explain.traces {
            traces.call_ended(&self.span, &explanation);
        }
        if let Some(slow) = explain.slow {
            let _span = self.span.enter();
            events.call_ended(info, &explanation, slow);
        }
        if !explain.observers.is_empty() {
            let trace =
                explain.traces.as_ref().and_then(|traces| traces.of(&self.span, self.trace));
            let end = CallEnd::new(info, &explanation).trace(trace);
            explain.observers.iter().for_each(|observer| observer.call_ended(&end));
        }
        Some(explanation)
    }
}

impl<F, C: HasInfo> std::fmt::Debug for ExplainFuture<F, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExplainFuture")
            .field("is_recorded", &self.call.is_some())
            .finish_non_exhaustive()
    }
}
