use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Classify, Clock, Effect, HasInfo, Tick, Verdict, find, judge};
use sandtower_health_check::Unhealthy;
use sandtower_http::HttpClassifier;
use sandtower_time::TokioClock;

use super::claim::Claim;
use super::creations::{Creations, Reaping};
use super::sent::Sent;
use crate::{
    Answer, Creation, E2bClassify, Marks, Said, Sandbox,
    events::{Chain, Failure},
};

pin_project! {
    /// The answer of one attempt. Dropped after the attempt was sent, what it may have made is
    /// looked for in the background.
    #[must_use = "futures do nothing unless polled"]
    pub struct Creating<F> {
        // Drops before the attempt: what is below lets go first.
        #[pin]
        future: F,
        attempt: Option<Attempt>,
    }
}

impl<F> Creating<F> {
    pub(super) fn new(future: F, attempt: Option<Attempt>) -> Self {
        Self { future, attempt }
    }
}

impl<F, B, E> Future for Creating<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.future.poll(cx)).map_err(Into::into);
        if let Some(attempt) = this.attempt.take() {
            attempt.ended(&mut result);
        }
        Poll::Ready(result)
    }
}

impl<F> std::fmt::Debug for Creating<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Creating")
            .field("makes_a_sandbox", &self.attempt.is_some())
            .finish_non_exhaustive()
    }
}

/// One attempt to make a sandbox. Dropped, it is abandoned if it was sent.
pub(super) struct Attempt {
    judge: HttpClassifier,
    creation: Creation,
    marks: Marks,
    number: u32,
    began: Tick,
    sent: Sent,
    /// `None` once it has ended.
    account: Option<(Creations, Reaping)>,
}

impl Attempt {
    pub(super) fn new<B>(
        request: &Request<B>,
        creation: Creation,
        number: u32,
        marks: Marks,
        sent: Sent,
        creations: Creations,
        by: Reaping,
    ) -> Self {
        let judge = E2bClassify.classify(request);
        let (began, account) = (TokioClock.now(), Some((creations, by)));
        Self { judge, creation, marks, number, began, sent, account }
    }

    fn ended<B>(mut self, result: &mut Result<Response<B>, BoxError>) {
        let Some((creations, by)) = self.account.take() else { return };
        let verdict = judge(&self.judge, result.as_ref());
        if !verdict.is_success() {
            self.tell(verdict, result);
        }
        match result {
            Ok(answer) if verdict.is_success() => {
                creations.settle(&self.marks);
                let claim = match answer.extensions().get::<Sandbox>() {
                    Some(sandbox) => Claim::sandbox(sandbox.id().clone(), creations, by),
                    None => Claim::of(self.marks, self.sent_at(), creations, by),
                };
                answer.extensions_mut().insert(claim);
            }
            Err(error) if find::<Unhealthy>(&**error).is_some() => self.creation.was_released(),
            _ if verdict.effect == Effect::None => {
                if self.sent.at().is_some() {
                    self.creation.left_nothing();
                }
            }
            _ => {
                self.creation.left_unknown();
                // Its call looks for it first.
                let look = TokioClock.now() + creations.look_within();
                creations.abandon(self.marks, self.sent_at(), self.not_before(look), &by);
            }
        }
    }

    fn tell<B>(&self, verdict: Verdict, result: &Result<Response<B>, BoxError>) {
        let (attempt, took) = (self.number, TokioClock.now().since(self.began));
        let tell = |status, error: &dyn Display| {
            let failure = Failure { attempt, verdict, status, error, took };
            self.creation.events().attempt_failed(self.creation.about(), &failure);
        };
        match result {
            Ok(answer) => {
                let status = answer.status();
                let said = answer.extensions().get::<Said>().cloned().unwrap_or_default();
                let said = self.creation.hidden().hide(said);
                tell(status.as_u16(), &Answer { status, said, verdict, attempt });
            }
            Err(error) => tell(0, &Chain(&**error)),
        }
    }

    fn sent_at(&self) -> Tick {
        self.sent.at().unwrap_or_else(|| TokioClock.now())
    }

    /// Before when nothing of it is killed. The server makes all attempts under one key into one
    /// sandbox, so while the call goes on that may yet be its answer.
    fn not_before(&self, otherwise: Tick) -> Tick {
        match self.marks.attempt {
            Some(_) => otherwise,
            None => self.judge.info().deadline.unwrap_or(otherwise),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (Some((creations, by)), Some(sent)) = (self.account.take(), self.sent.at()) else {
            return;
        };
        creations.abandon(self.marks, sent, self.not_before(Tick::ZERO), &by);
    }
}
