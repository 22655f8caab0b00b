use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    BoxError, ClassifyResponse, Clock, Effect, Resend, Verdict, WhenReady, judge,
};
use sandtower_time::TokioClock;
use tower_service::Service;

use super::handle::Journey;
use super::service::Shared;
use crate::error::{AlternativeFailed, First};
use crate::when::is_harmless;

pin_project! {
    /// The answer of the first place that has one.
    ///
    /// A failed answer is given up before the next place is made ready. Dropping the future drops the
    /// attempt that is under way; a lease that it holds is given back.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct FailoverFuture<S, Req, J, R>
    where
        S: Service<Req>,
    {
        #[pin]
        attempt: WhenReady<S, Req>,
        judge: J,
        // Never sent itself while another place may need it.
        template: Option<Req>,
        journey: Journey,
        failed: Option<First>,
        shared: Arc<Shared<S, R>>,
    }
}

impl<S, Req, J, R> FailoverFuture<S, Req, J, R>
where
    S: Service<Req> + Clone,
    R: Resend<Req>,
{
    pub(super) fn new(first: &mut S, request: Req, judge: J, shared: Arc<Shared<S, R>>) -> Self {
        let journey = shared.handle.begin();
        let template = journey.next().and_then(|_| shared.resend.copy(&request));
        let attempt = match journey.place() {
            0 => WhenReady::start(first, request),
            place => WhenReady::new(shared.services[place].service(), request),
        };
        Self { attempt, judge, template, journey, failed: None, shared }
    }
}

impl<S, Req, J, R> Future for FailoverFuture<S, Req, J, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    J: ClassifyResponse<S::Response>,
    R: Resend<Req>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let answer = ready!(this.attempt.as_mut().poll(cx)).map_err(Into::into);
            let mut verdict = judge(this.judge, answer.as_ref());
            if !this.attempt.is_sent() {
                verdict = verdict.effect(Effect::None);
            }
            if !this.shared.handle.when().covers(verdict.outcome) {
                this.journey.answered();
            } else if let Some(request) = this.next(&verdict) {
                this.journey.go_on(this.judge.info(), &verdict);
                *this.failed = Some(First { outcome: verdict.outcome, error: answer.err() });
                let service = this.shared.services[this.journey.place()].service();
                this.attempt.set(WhenReady::new(service, request));
                continue;
            }
            return Poll::Ready(answer.map_err(|error| this.told(error)));
        }
    }
}

impl<S, Req, J, R> Projection<'_, S, Req, J, R>
where
    S: Service<Req>,
    J: ClassifyResponse<S::Response>,
    R: Resend<Req>,
{
    /// The request for the next place, after a failure that is worth one.
    fn next(&mut self, verdict: &Verdict) -> Option<Req> {
        self.journey.next()?;
        let info = self.judge.info();
        let is_late = || info.deadline.is_some_and(|deadline| TokioClock.now() >= deadline);
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

    fn told(&mut self, error: BoxError) -> BoxError {
        match self.failed.take() {
            Some(first) => {
                let name = self.journey.handle().shared_name(self.journey.place());
                AlternativeFailed::new(name, first, error).into()
            }
            None => error,
        }
    }
}

impl<S, Req, J, R> std::fmt::Debug for FailoverFuture<S, Req, J, R>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailoverFuture").field("journey", &self.journey).finish_non_exhaustive()
    }
}
