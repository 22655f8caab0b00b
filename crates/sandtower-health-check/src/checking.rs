use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sandtower_core::{
    Backoff, BoxError, ClassifiedError, Effect, Operation, Outcome, Sleep, StageKind, Tick,
    Verdict, recording,
};

use crate::unchecked::Unchecked;
use crate::{Check, Finding, OnFailure, Unhealthy};

pin_project! {
    /// Probes one response until it passes or fails its check.
    pub(crate) struct Checking<S, Res, K>
    where
        S: Clone,
        S: Send,
        S: 'static,
        Res: Send,
        Res: 'static,
        K: Check<S, Res>,
    {
        // Dropped before the response: nothing probes a resource that is being released.
        #[pin]
        step: Step<K::Probe>,
        // The timeout of the probe, and the pause between two.
        #[pin]
        timer: Sleep,
        // `None` once it is done.
        unchecked: Option<Unchecked<S, Res, K>>,
        operation: Operation,
        failed: u32,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<P> {
        Probing { #[pin] probe: P },
        Pausing,
    }
}

/// A check that began, or a response that created nothing.
pub(crate) enum Begun<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    Checking(Checking<S, Res, K>),
    NothingToCheck(Unchecked<S, Res, K>),
}

impl<S, Res, K> Checking<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    pub(crate) fn begin(unchecked: Unchecked<S, Res, K>, operation: Operation) -> Begun<S, Res, K> {
        let Some(probe) = unchecked.probe() else { return Begun::NothingToCheck(unchecked) };
        let shared = unchecked.shared();
        shared.ledger().count(|counts| counts.checked += 1);
        let now = Tick::now();
        recording::succeeded(StageKind::HealthCheck, now);
        let timer = Sleep::until(now + shared.config.probe_within);
        let step = Step::Probing { probe };
        Begun::Checking(Self { step, timer, unchecked: Some(unchecked), operation, failed: 0 })
    }

    /// The result of the current probe.
    fn poll_probe(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Finding>> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Probing { probe } => {
                    if let Poll::Ready(verdict) = probe.poll(cx) {
                        return Poll::Ready(match verdict {
                            Verdict { outcome: Outcome::Success, .. } => Ok(()),
                            Verdict { outcome, .. } => Err(Finding::Failed(outcome)),
                        });
                    }
                    ready!(this.timer.poll(cx));
                    return Poll::Ready(Err(Finding::TimedOut));
                }
                StepProj::Pausing => {
                    ready!(this.timer.as_mut().poll(cx));
                    let Some(unchecked) = this.unchecked.as_ref() else {
                        unreachable!("it is there until the check is done")
                    };
                    let Some(probe) = unchecked.probe() else {
                        return Poll::Ready(Err(Finding::Gone));
                    };
                    let ends = Tick::now() + unchecked.shared().config.probe_within;
                    this.timer.as_mut().reset(ends);
                    this.step.set(Step::Probing { probe });
                }
            }
        }
    }

    /// Whether another probe follows this one that failed.
    fn try_again(self: Pin<&mut Self>, found: Finding) -> bool {
        let mut this = self.project();
        *this.failed += 1;
        // The probe is dropped here, and with it whatever it holds below.
        this.step.set(Step::Pausing);
        let Some(unchecked) = this.unchecked.as_ref() else { return false };
        let shared = unchecked.shared();
        let config = &shared.config;
        let pause = Backoff::constant(config.pause).jitter().delay(0, &mut shared.seed.rng());
        this.timer.reset(Tick::now() + pause);
        let final_word = matches!(found, Finding::Failed(Outcome::Permanent) | Finding::Gone);
        *this.failed < config.tries && !final_word
    }

    fn passed(unchecked: Unchecked<S, Res, K>) -> Res {
        unchecked.shared().ledger().count(|counts| counts.passed += 1);
        unchecked.into_response()
    }

    fn failed(
        unchecked: Unchecked<S, Res, K>,
        operation: Operation,
        unhealthy: Unhealthy,
    ) -> Result<Res, BoxError> {
        let shared = unchecked.shared();
        shared.ledger().count(|counts| counts.failed += 1);
        let on_failure = shared.config.on_failure;
        let Unhealthy { probes, last } = unhealthy;
        tracing::warn!(
            target: "sandtower::health_check",
            name = shared.ledger().name(),
            operation = operation.name(),
            probes,
            last = %last,
            returned = on_failure == OnFailure::Warn,
            "health check failed"
        );
        match on_failure {
            OnFailure::Warn => Ok(unchecked.into_response()),
            OnFailure::Discard => {
                drop(unchecked);
                // The resource is released: for a retry, nothing happened.
                Err(ClassifiedError::new(Verdict::transient(Effect::None), unhealthy).into())
            }
        }
    }
}

impl<S, Res, K> Future for Checking<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    type Output = Result<Res, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let found = ready!(self.as_mut().poll_probe(cx));
            if let Err(finding) = found
                && self.as_mut().try_again(finding)
            {
                continue;
            }
            let this = self.project();
            let Some(unchecked) = this.unchecked.take() else {
                unreachable!("it is there until the check is done")
            };
            return Poll::Ready(match found {
                Ok(()) => Ok(Self::passed(unchecked)),
                Err(last) => {
                    let unhealthy = Unhealthy { probes: *this.failed, last };
                    Self::failed(unchecked, *this.operation, unhealthy)
                }
            });
        }
    }
}
