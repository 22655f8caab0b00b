//! The layers under test, with one of them disabled.

use std::time::Duration;

use sandtower::admission::{Adaptive, Admission, AdmissionLayer, Config, Limit};
use sandtower::circuit_breaker::{self, CircuitBreaker, Trip};
use sandtower::core::{
    Attempt, BoxError, Classify, ClassifyResponse, HasInfo, Replay, RequestInfo, Resend, Seed,
    SetDeadline, Tick, Verdict,
};
use sandtower::retry::{self, Retry, RetryLayer};
use sandtower::timeout::{Deadline, DeadlineLayer, Limits, Timeout, TimeoutLayer};
use tower_layer::Layer;

use super::server::Server;

/// What is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Nothing: the whole stack.
    Nothing,
    /// The circuit breaker.
    Breaker,
    /// The adaptive limit: any number of calls is in flight.
    Limiter,
    /// Newest-first: the queue keeps its order for any length of time.
    NewestFirst,
    /// The budget of retries.
    Budget,
    /// Everything but retries.
    All,
}

impl Without {
    /// All variants.
    pub const ALL: [Self; 6] =
        [Self::Nothing, Self::Breaker, Self::Limiter, Self::NewestFirst, Self::Budget, Self::All];
}

/// How long a caller waits, and how long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A call with its arrival and its deadline. May be repeated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call {
    arrived: Option<Tick>,
    deadline: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OnCall;

impl SetDeadline<Call> for OnCall {
    fn set_deadline(&self, call: &mut Call, arrived: Tick, deadline: Tick) {
        *call = Call { arrived: Some(arrived), deadline: Some(deadline) };
    }
}

impl Resend<Call> for OnCall {
    fn copy(&self, call: &Call) -> Option<Call> {
        Some(*call)
    }

    fn stamp(&self, call: &mut Call, attempt: &Attempt) {
        call.arrived = Some(attempt.arrived);
    }
}

impl Classify<Call> for OnCall {
    type Classifier = CallClassifier;

    fn classify(&self, call: &Call) -> CallClassifier {
        let info = RequestInfo::default().replay(Replay::Safe);
        CallClassifier(info.arrived(call.arrived).deadline(call.deadline))
    }
}

pub(crate) struct CallClassifier(RequestInfo);

impl HasInfo for CallClassifier {
    fn info(&self) -> &RequestInfo {
        &self.0
    }
}

impl ClassifyResponse<()> for CallClassifier {
    fn classify(&self, result: Result<&(), &BoxError>) -> Verdict {
        match result {
            Ok(()) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        }
    }
}

type Attempts = Timeout<Server, OnCall>;
type Admitted = Admission<Attempts, CircuitBreaker, OnCall>;
pub(crate) type Stack = Deadline<Retry<Admitted, OnCall, OnCall>, OnCall, OnCall>;

pub(crate) fn stack(server: Server, without: Without, seed: u64) -> Result<Stack, BoxError> {
    let is_out = |part| without == part || without == Without::All;
    let breaker = circuit_breaker::Config::recommended("server").seed(Seed::fixed(seed));
    let breaker = match is_out(Without::Breaker) {
        true => breaker.trip(Trip::ConsecutiveFailures(u32::MAX)),
        false => breaker,
    };
    let limit = match is_out(Without::Limiter) {
        true => Limit::Fixed(u32::MAX),
        false => Adaptive::recommended().into(),
    };
    let room = Config::new("server").concurrency(limit).queue(100_000);
    let room = match is_out(Without::NewestFirst) {
        true => room.newest_first_after(Duration::MAX),
        false => room,
    };
    let retry = retry::Config::recommended();
    let retry = if is_out(Without::Budget) { retry.budget(None) } else { retry };
    let attempt = TimeoutLayer::new(Limits::all(TIMEOUT)).classify(OnCall).layer(server);
    let admission = AdmissionLayer::with_gates(room, breaker.build()?)?.classify(OnCall);
    let retry = RetryLayer::new(retry, OnCall).resend(OnCall).seed(Seed::fixed(seed));
    let deadline = DeadlineLayer::new(Limits::all(DEADLINE)).classify(OnCall).set_deadline(OnCall);
    Ok(deadline.layer(retry.layer(admission.layer(attempt))))
}
