use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{Attempt, BoxError, Clock, Judge, Resend, Rng, Verdict, WhenReady, judge};
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use crate::decide::{Decision, Progress, Stop};
use crate::layer::Spare;

pin_project! {
    /// The answer of the last attempt.
    ///
    /// A failed answer is dropped before the wait for the next attempt. Dropping the future ends
    /// the call wherever it is.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, J, R>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S::Future, WhenReady<S, Req>>,
        judge: J,
        copy: Option<Req>,
        resend: R,
        spare: Arc<Spare<S>>,
        // `None` until the first failure: a call that succeeds reads no clock and draws nothing.
        history: Option<History>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, A> {
        First { #[pin] future: F },
        Wait { #[pin] sleep: Sleep },
        Again { #[pin] attempt: A },
    }
}

#[derive(Debug)]
struct History {
    attempt: Attempt,
    progress: Progress,
    rng: Rng,
}

impl<S: Service<Req>, Req, J, R> ResponseFuture<S, Req, J, R> {
    pub(crate) fn new(
        first: S::Future,
        judge: J,
        copy: Option<Req>,
        resend: R,
        spare: Arc<Spare<S>>,
    ) -> Self {
        let state = State::First { future: first };
        Self { state, judge, copy, resend, spare, history: None }
    }
}

impl<S, Req, J, R> Future for ResponseFuture<S, Req, J, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    J: Judge<S::Response>,
    R: Resend<Req>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let result = match self.as_mut().project().state.project() {
                StateProj::First { future } => ready!(future.poll(cx)),
                StateProj::Again { attempt } => ready!(attempt.poll(cx)),
                StateProj::Wait { sleep } => {
                    ready!(sleep.poll(cx));
                    match self.as_mut().again() {
                        true => continue,
                        // Without a copy there was nothing to wait for.
                        false => return Poll::Pending,
                    }
                }
            };
            let result = result.map_err(Into::into);
            let verdict = judge(&self.judge, result.as_ref());
            if verdict.is_success() {
                self.fund();
                if self.history.is_none() {
                    return Poll::Ready(result);
                }
            }
            match self.as_mut().decide(&verdict) {
                Decision::Stop(_) => return Poll::Ready(result),
                Decision::Again => {
                    drop(result);
                    self.as_mut().again();
                }
                Decision::After(wait) => {
                    drop(result);
                    let sleep = Sleep::until(TokioClock.now() + wait);
                    self.as_mut().project().state.set(State::Wait { sleep });
                }
            }
        }
    }
}

impl<S, Req, J, R> ResponseFuture<S, Req, J, R>
where
    S: Service<Req> + Clone,
    J: Judge<S::Response>,
    R: Resend<Req>,
{
    fn fund(&self) {
        if let Some(budget) = &self.spare.handle.config().budget {
            budget.deposit(self.judge.asked().scope);
        }
    }

    fn decide(self: Pin<&mut Self>, verdict: &Verdict) -> Decision {
        let this = self.project();
        let asked = *this.judge.asked();
        let now = TokioClock.now();
        let history = this.history.get_or_insert_with(|| History {
            attempt: Attempt::first(asked.arrived.unwrap_or(now)),
            progress: Progress::default(),
            rng: this.spare.handle.seed().rng(),
        });
        let config = this.spare.handle.config();
        let mut decision = history.progress.decide(config, &asked, verdict, now, &mut history.rng);
        if this.copy.is_none() && !matches!(decision, Decision::Stop(_)) {
            decision = Decision::Stop(Stop::SentOnce);
        }
        let number = history.attempt.number;
        match decision {
            Decision::Stop(stop) => this.spare.handle.stopped(stop),
            Decision::Again => this.spare.handle.returned(),
            Decision::After(_) => this.spare.handle.retried(),
        }
        tell(&asked.operation, number, verdict, decision);
        history.attempt = history.attempt.next(verdict.outcome);
        decision
    }

    /// Begins the next attempt on an instance of its own.
    fn again(self: Pin<&mut Self>) -> bool {
        let mut this = self.project();
        let (Some(mut request), Some(history)) = (this.copy.take(), &this.history) else {
            return false;
        };
        *this.copy = this.resend.copy(&request);
        this.resend.stamp(&mut request, &history.attempt);
        let service = this.spare.service();
        this.state.set(State::Again { attempt: WhenReady::new(service, request) });
        true
    }
}

fn tell(
    operation: &sandtower_core::Operation,
    attempt: u32,
    verdict: &Verdict,
    decision: Decision,
) {
    const TARGET: &str = "sandtower::retry";
    let (operation, outcome) = (operation.name(), verdict.outcome.label());
    match decision {
        Decision::Stop(Stop::Success) => {
            tracing::info!(target: TARGET, operation, attempt, "succeeded after retries");
        }
        Decision::Stop(stop) => {
            tracing::warn!(target: TARGET, operation, attempt, outcome, why = stop.label(), "gave up");
        }
        Decision::Again => {
            tracing::info!(target: TARGET, operation, attempt, outcome, "back to the waiting room");
        }
        Decision::After(wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(target: TARGET, operation, attempt, outcome, wait_ms, "retrying");
        }
    }
}

impl<S: Service<Req>, Req, J, R> std::fmt::Debug for ResponseFuture<S, Req, J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("history", &self.history).finish_non_exhaustive()
    }
}
