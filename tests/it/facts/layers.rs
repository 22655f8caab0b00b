//! What each layer's engine does with a verdict.

use std::time::Duration;

use sandtower::admission::{self, Adaptive, AdmissionControl};
use sandtower::circuit_breaker::{self, CircuitBreaker, State};
use sandtower::core::{
    Completion, Deferred, Effect, Gate, Now, RequestInfo, Resource, Seed, Tick, Verdict,
};
use sandtower::e2b::operation::SANDBOX_CREATE;
use sandtower::rate_limit::{self, RateLimit};
use sandtower::retry::{self, Decision, Progress, Stop, WhenThrottled};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// After the first attempt, with the stack's configuration.
pub(super) fn retry(info: &RequestInfo, verdict: &Verdict) -> String {
    let config = retry::Config::recommended().when_throttled(WhenThrottled::Requeue);
    let mut rng = Seed::fixed(1).rng();
    match Progress::default().decide(&config, info, verdict, Tick::ZERO, &mut rng, || true) {
        Decision::Again => String::from("back to the queue"),
        Decision::After(_) => String::from("again"),
        // A creation with an unknown result is reconciled; nothing else is.
        Decision::Stop(Stop::UnsafeToReplay) if info.operation == SANDBOX_CREATE => {
            String::from("looks")
        }
        Decision::Stop(stop) => format!("ends: {}", stop.label()),
    }
}

/// Whether a series of such responses trips it, or else what one of them does to a probing breaker.
pub(super) async fn breaker(info: &RequestInfo, verdict: &Verdict) -> String {
    let breaker = || {
        let config = circuit_breaker::Config::recommended("E2B").seed(Seed::fixed(1));
        CircuitBreaker::new(config).unwrap()
    };
    if trips(&breaker(), info, verdict).await {
        return String::from("trips");
    }
    let probing = breaker();
    assert!(trips(&probing, info, &Verdict::transient(Effect::None)).await);
    sleep(120 * SECOND).await;
    let probe = taken(&probing, info).unwrap();
    settle(&probing, info, probe, verdict, SECOND).await;
    String::from(if probing.snapshot().state == State::Open { "fails a probe" } else { "alive" })
}

async fn trips(breaker: &CircuitBreaker, info: &RequestInfo, verdict: &Verdict) -> bool {
    for sandbox in 0..30 {
        // Failures of one sandbox are no evidence about the others.
        let info = &info.resource(info.resource.map(|_| Resource::new(sandbox)));
        let Some(token) = taken(breaker, info) else { return true };
        settle(breaker, info, token, verdict, SECOND).await;
    }
    false
}

/// Whether the next call is held after one such response.
pub(super) async fn rate_limit(info: &RequestInfo, verdict: &Verdict) -> String {
    let config = rate_limit::Config::new("E2B");
    let limit = RateLimit::new(config).unwrap();
    let token = taken(&limit, info).unwrap();
    settle(&limit, info, token, verdict, SECOND).await;
    String::from(if taken(&limit, info).is_some() { "goes on" } else { "holds" })
}

/// What rounds of such responses do to an adaptive limit. A response takes as long as a success, an attempt
/// that times out as long as its timeout.
pub(super) async fn admission(info: &RequestInfo, verdict: &Verdict, times_out: bool) -> String {
    const START: u32 = 8;
    let learning = Adaptive::recommended().initial(START).ceiling(START);
    let control =
        AdmissionControl::new(admission::Config::new("E2B").concurrency(learning)).unwrap();
    for _ in 0..20 {
        round(&control, info, &Verdict::success(), SECOND).await;
    }
    let before = limit(&control);
    for _ in 0..20 {
        let took = if times_out { 60 * SECOND } else { SECOND };
        round(&control, info, verdict, took).await;
    }
    String::from(if limit(&control) < before { "lowers" } else { "leaves" })
}

async fn round(
    control: &AdmissionControl<()>,
    info: &RequestInfo,
    verdict: &Verdict,
    took: Duration,
) {
    let tokens: Vec<_> = std::iter::from_fn(|| taken(control, info)).collect();
    let sent = Tick::now();
    sleep(took).await;
    for token in tokens {
        control.record(
            info,
            token,
            &Completion::new(*verdict, sent, Tick::now()),
            &mut Deferred::new(),
        );
    }
}

fn limit(control: &AdmissionControl<()>) -> u32 {
    control.snapshot().queues[0].limit
}

fn taken<G: Gate>(gate: &G, info: &RequestInfo) -> Option<G::Permit> {
    gate.try_acquire(info, &Now::new(), &mut Deferred::new()).ok()
}

async fn settle<G: Gate>(
    gate: &G,
    info: &RequestInfo,
    token: G::Permit,
    verdict: &Verdict,
    took: Duration,
) {
    let sent = Tick::now();
    sleep(took).await;
    gate.record(info, token, &Completion::new(*verdict, sent, Tick::now()), &mut Deferred::new());
}
