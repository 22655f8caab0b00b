use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    About, BoxError, ClassifyResponse, Effect, Resend, Spare, StageKind, Tick, Verdict, WhenReady,
    judge, recording,
};
use tower_service::Service;

use super::handle::Journey;
use super::service::Shared;
use crate::error::{AlternativeFailed, First};
use crate::when::is_harmless;

pin_project! {
    /// The response of the first place that returns one.
    ///
    /// A failed response is dropped before the next place becomes ready. Dropping the future drops the attempt
    /// in flight and releases a lease that it holds.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct FailoverFuture<S, Req, C, R>
    where
        S: Service<Req>,
    {
        // `None` once it is done.
        #[pin]
        attempt: Option<WhenReady<S, Req>>,
        classifier: C,
        // Never sent itself while another place may need it.
        template: Option<Req>,
        journey: Journey,
        failed: Option<First>,
        shared: Arc<Shared<S, R>>,
    }
}

impl<S, Req, C, R> FailoverFuture<S, Req, C, R>
where
    S: Service<Req> + Clone,
    R: Resend<Req>,
{
    pub(super) fn new(
        first: &mut Spare<S>,
        request: Req,
        classifier: C,
        shared: Arc<Shared<S, R>>,
    ) -> Self {
        let journey = shared.handle.begin();
        let template = journey.next().and_then(|_| shared.resend.copy(&request));
        let attempt = match journey.place() {
            0 => WhenReady::start(first, request),
            place => WhenReady::new(shared.services[place].fresh(), request),
        };
        Self { attempt: Some(attempt), classifier, template, journey, failed: None, shared }
    }
}

impl<S, Req, C, R> Future for FailoverFuture<S, Req, C, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: ClassifyResponse<S::Response>,
    R: Resend<Req>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(mut attempt) = this.attempt.as_mut().as_pin_mut() else {
                panic!("`FailoverFuture` polled after completion")
            };
            let result = ready!(attempt.as_mut().poll(cx)).map_err(Into::into);
            let mut verdict = judge(this.classifier, result.as_ref());
            if !attempt.is_sent() {
                verdict = verdict.effect(Effect::None);
            }
            if verdict.about == About::Caller {
                // Evidence neither for nor against a place.
            } else if !this.shared.handle.when().covers(verdict.outcome) {
                this.journey.responded();
            } else if let Some(request) = this.next(&verdict) {
                this.journey.go_on(this.classifier.info(), &verdict);
                if recording::is_on() {
                    let response = result.as_ref().ok();
                    let status = response.and_then(|response| this.classifier.status(response));
                    recording::failed(verdict.outcome, status, StageKind::Fallback, Tick::now());
                }
                *this.failed = Some(First { outcome: verdict.outcome, error: result.err() });
                let service = this.shared.services[this.journey.place()].fresh();
                this.attempt.set(Some(WhenReady::new(service, request)));
                continue;
            }
            this.attempt.set(None);
            return Poll::Ready(result.map_err(|error| this.describe(error)));
        }
    }
}

impl<S, Req, C, R> Projection<'_, S, Req, C, R>
where
    S: Service<Req>,
    C: ClassifyResponse<S::Response>,
    R: Resend<Req>,
{
    /// The request for the next place, after a failure that is worth one.
    fn next(&mut self, verdict: &Verdict) -> Option<Req> {
        self.journey.next()?;
        let info = self.classifier.info();
        let is_late = || info.deadline.is_some_and(|deadline| Tick::now() >= deadline);
        let may_go_on = is_harmless(info, verdict) && !is_late();
        match self.template.take().filter(|_| may_go_on) {
            Some(request) => {
                *self.template = self.shared.resend.copy(&request);
                Some(request)
            }
            None => {
                self.journey.lost();
                None
            }
        }
    }

    fn describe(&mut self, error: BoxError) -> BoxError {
        match self.failed.take() {
            Some(first) => {
                let name = self.journey.handle().shared_name(self.journey.place());
                AlternativeFailed::new(name, first, error).into()
            }
            None => error,
        }
    }
}

impl<S, Req, C, R> std::fmt::Debug for FailoverFuture<S, Req, C, R>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailoverFuture").field("journey", &self.journey).finish_non_exhaustive()
    }
}
