//! The application with a hand-written pattern that is widespread.

use std::num::NonZeroU32;
use std::time::Duration;

use http::Request;
use sandtower::circuit_breaker::{self, CircuitBreaker, CircuitBreakerLayer};
use sandtower::core::{BoxError, Classify, HasInfo, Replay, Seed};
use sandtower::e2b::{Client, Config, E2bClassify, E2bInterpret, SandboxCheck};
use sandtower::health_check::HealthCheckLayer;
use sandtower::http::{Http, HttpClassifier, InterpretLayer};
use sandtower::retry::{self, RetryLayer};
use sandtower::timeout::{Limits, TimeoutLayer};
use tower_layer::Layer;

use super::{Caller, Erased, Execute, Failure, Job, Look, Transport, erased, run_once};

/// From the outside in: one breaker, retries, the creation and then a validation that warns at most. Calls
/// into a sandbox bypass all of it.
///
/// It uses our layers with their presets `classic`. Where those are more careful than the pattern, its
/// behaviour is restored: a creation whose response was lost is repeated, and no budget limits the retries.
pub(crate) struct Classic<S> {
    creates: Client<S>,
    rest: Client<S>,
    retry: retry::Handle,
    breaker: CircuitBreaker,
}

/// The timeout of the official clients.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first, and three retries.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Treats every request as safe to replay.
#[derive(Clone, Copy, Debug)]
struct Blind;

impl<B> Classify<Request<B>> for Blind {
    type Classifier = HttpClassifier;

    fn classify(&self, request: &Request<B>) -> HttpClassifier {
        HttpClassifier::new(E2bClassify.classify(request).info().replay(Replay::Safe))
    }
}

impl Classic<Erased> {
    pub(crate) fn new(transport: Erased, config: Config, seed: u64) -> Result<Self, BoxError> {
        let seed = Seed::fixed(seed);
        let timeout = TimeoutLayer::new(Limits::all(PATIENCE)).classify(E2bClassify);
        let rest = Client::new(erased(timeout.layer(transport.clone())), config.clone());
        let attempt = timeout.layer(InterpretLayer::new(E2bInterpret::default()).layer(transport));
        let retry = retry::Config::classic().attempts(ATTEMPTS).budget(None);
        let retry =
            RetryLayer::new(retry, Blind).resend(Http).response_hooks(Http).seed(seed.clone());
        let breaker = circuit_breaker::Config::classic("E2B").seed(seed).build()?;
        let broken = CircuitBreakerLayer::from_breaker(breaker.clone()).classify(E2bClassify);
        let check = HealthCheckLayer::classic(SandboxCheck::new(config.clone()));
        let validated = check.classify(E2bClassify).layer(attempt);
        let creates = Client::new(erased(broken.layer(retry.layer(validated))), config);
        Ok(Self { creates, rest, retry: retry.handle().clone(), breaker })
    }
}

impl<S: Transport> Execute for Classic<S> {
    async fn execute(&self, job: &Job, _: Caller) -> Result<(), Failure> {
        run_once(&self.creates, &self.rest, job).await
    }

    fn look(&self) -> Look {
        let retry = self.retry.snapshot();
        Look {
            retries: retry.retries + retry.returns,
            breaker: Some(self.breaker.snapshot().state.label()),
            ..Look::default()
        }
    }
}
