use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Classify, Effect, HasInfo, Tick, Verdict, find, judge};
use sandtower_health_check::Unhealthy;
use sandtower_http::HttpClassifier;

use super::tracker::{CleanUp, SandboxTracker};
use super::unclaimed::Unclaimed;
use crate::api::sent::Sent;
use crate::{
    Creation, E2bClassify, ErrorBody, ErrorResponse, Marks, Sandbox, api::error::Causes,
    tracking::events::Failure,
};

pin_project! {
    /// The response of one attempt. If it is dropped after the attempt was sent, the tracker looks for a
    /// sandbox that the attempt may have created.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[must_use = "futures do nothing unless polled"]
    pub struct TrackingFuture<F> {
        // Dropped before the attempt, so that the service below is released first.
        #[pin]
        future: Option<F>,
        attempt: Option<Attempt>,
    }
}

impl<F> TrackingFuture<F> {
    pub(super) fn new(future: F, attempt: Option<Attempt>) -> Self {
        Self { future: Some(future), attempt }
    }
}

impl<F, B, E> Future for TrackingFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`TrackingFuture` polled after completion")
        };
        let mut result = ready!(future.poll(cx)).map_err(Into::into);
        this.future.set(None);
        if let Some(attempt) = this.attempt.take() {
            attempt.ended(&mut result);
        }
        Poll::Ready(result)
    }
}

impl<F> std::fmt::Debug for TrackingFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackingFuture")
            .field("makes_a_sandbox", &self.attempt.is_some())
            .finish_non_exhaustive()
    }
}

/// One attempt to create a sandbox. Dropping it after it was sent abandons it to the tracker.
pub(super) struct Attempt {
    classifier: HttpClassifier,
    creation: Creation,
    marks: Marks,
    number: u32,
    began: Tick,
    sent: Sent,
    /// `None` once it has ended.
    account: Option<(SandboxTracker, CleanUp)>,
}

impl Attempt {
    pub(super) fn new<B>(
        request: &Request<B>,
        creation: Creation,
        number: u32,
        marks: Marks,
        sent: Sent,
        tracker: SandboxTracker,
        by: CleanUp,
    ) -> Self {
        let classifier = E2bClassify.classify(request);
        let (began, account) = (Tick::now(), Some((tracker, by)));
        Self { classifier, creation, marks, number, began, sent, account }
    }

    fn ended<B>(mut self, result: &mut Result<Response<B>, BoxError>) {
        let Some((tracker, by)) = self.account.take() else { return };
        let verdict = judge(&self.classifier, result.as_ref());
        match result {
            Ok(response) if verdict.is_success() => {
                tracker.resolve(&self.marks);
                if self.creation.is_keyed_by_caller() {
                    return;
                }
                let unclaimed = match response.extensions().get::<Sandbox>() {
                    Some(sandbox) => Unclaimed::sandbox(sandbox.id().clone(), tracker, by),
                    None => Unclaimed::of(self.marks, self.sent_at(), tracker, by),
                };
                response.extensions_mut().insert(unclaimed);
                return;
            }
            Err(error) if find::<Unhealthy>(&**error).is_some() => self.creation.was_released(),
            _ if verdict.effect == Effect::None => {
                if self.sent.at().is_some() {
                    self.creation.left_nothing();
                }
            }
            _ if self.creation.is_keyed_by_caller() => self.creation.left_unknown(),
            _ => {
                self.creation.left_unknown();
                // Its own call looks for it first.
                let look = Tick::now() + tracker.look_within();
                tracker.watch(self.marks, self.sent_at(), self.not_before(look), &by);
            }
        }
        // Last: a `tracing` subscriber may panic.
        self.tell(verdict, result);
    }

    fn tell<B>(&self, verdict: Verdict, result: &Result<Response<B>, BoxError>) {
        let (attempt, took) = (self.number, Tick::now().since(self.began));
        let tell = |status, error: &dyn Display| {
            let failure = Failure { attempt, verdict, status, error, took };
            self.creation.events().attempt_failed(self.creation.about(), &failure);
        };
        match result {
            Ok(response) => {
                let status = response.status();
                let body = response.extensions().get::<ErrorBody>().cloned().unwrap_or_default();
                let body = self.creation.hidden().hide(body);
                let explanation = None;
                let response = ErrorResponse { status, body, verdict, attempt, explanation };
                tell(status.as_u16(), &response);
            }
            Err(error) => tell(0, &Causes(&**error)),
        }
    }

    fn sent_at(&self) -> Tick {
        self.sent.at().unwrap_or_else(Tick::now)
    }

    /// Until when it must not be killed. The server maps all attempts with one key to one sandbox, so
    /// while the call is running that sandbox may yet be its response.
    fn not_before(&self, otherwise: Tick) -> Tick {
        match self.marks.attempt {
            Some(_) => otherwise,
            None => self.classifier.info().deadline.unwrap_or(otherwise),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (Some((tracker, by)), Some(sent)) = (self.account.take(), self.sent.at()) else {
            return;
        };
        if self.creation.is_keyed_by_caller() {
            return;
        }
        tracker.watch(self.marks, sent, self.not_before(Tick::ZERO), &by);
    }
}
