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

/// After the first attempt, as the stack has it.
pub(super) fn retry(info: &RequestInfo, verdict: &Verdict) -> String {
    let config = retry::Config::recommended().when_throttled(WhenThrottled::Requeue);
    let mut rng = Seed::fixed(1).rng();
    match Progress::default().decide(&config, info, verdict, Tick::ZERO, &mut rng, || true) {
        Decision::Again => String::from("back to the line"),
        Decision::After(_) => String::from("again"),
        // What may have made a sandbox is looked for; nothing else is.
        Decision::Stop(Stop::UnsafeToReplay) if info.operation == SANDBOX_CREATE => {
            String::from("looks")
        }
        Decision::Stop(stop) => format!("ends: {}", stop.label()),
    }
}

/// Whether a run of such answers trips it, else what one of them does to it while it probes.
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
        // What fails in one sandbox alone says nothing about the others.
        let info = &info.resource(info.resource.map(|_| Resource::new(sandbox)));
        let Some(token) = taken(breaker, info) else { return true };
        settle(breaker, info, token, verdict, SECOND).await;
    }
    false
}

/// Whether the next one is held after one such answer.
pub(super) async fn rate_limit(info: &RequestInfo, verdict: &Verdict) -> String {
    let config = rate_limit::Config::new("E2B");
    let limit = RateLimit::new(config).unwrap();
    let token = taken(&limit, info).unwrap();
    settle(&limit, info, token, verdict, SECOND).await;
    String::from(if taken(&limit, info).is_some() { "goes on" } else { "holds" })
}

/// What rounds of such answers do to a limit that learns. An answer takes as long as a success, an
/// attempt that times out as long as it may.
pub(super) async fn admission(info: &RequestInfo, verdict: &Verdict, times_out: bool) -> String {
    const START: u32 = 8;
    let learning = Adaptive::recommended().initial(START).ceiling(START);
    let room = AdmissionControl::new(admission::Config::new("E2B").concurrency(learning)).unwrap();
    for _ in 0..20 {
        round(&room, info, &Verdict::success(), SECOND).await;
    }
    let before = limit(&room);
    for _ in 0..20 {
        let took = if times_out { 60 * SECOND } else { SECOND };
        round(&room, info, verdict, took).await;
    }
    String::from(if limit(&room) < before { "lowers" } else { "leaves" })
}

async fn round(room: &AdmissionControl<()>, info: &RequestInfo, verdict: &Verdict, took: Duration) {
    let tokens: Vec<_> = std::iter::from_fn(|| taken(room, info)).collect();
    let sent = Tick::now();
    sleep(took).await;
    for token in tokens {
        room.record(
            info,
            token,
            &Completion::new(*verdict, sent, Tick::now()),
            &mut Deferred::new(),
        );
    }
}

fn limit(room: &AdmissionControl<()>) -> u32 {
    room.snapshot().queues[0].limit
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
