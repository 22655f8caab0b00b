//! Our layers, with their default numbers where these let an endless loop through.

use std::future::ready;
use std::time::Duration;

use sandtower_admission::{Admission, AdmissionLayer, Config as AdmissionConfig};
use sandtower_circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, Config as BreakerConfig, State, Trip,
};
use sandtower_core::{ByResult, Operation, RequestInfo, Verdict};
use sandtower_fallback::FallbackLayer;
use sandtower_health_check::{Config as CheckConfig, HealthCheckLayer, check_fn};
use sandtower_rate_limit::{Config as RateConfig, Pace, RateLimit, RateLimitLayer};
use sandtower_retry::{Config as RetryConfig, RetryLayer};
use sandtower_timeout::{Limits, TimeoutLayer};
use tower::{Layer, Service};

use crate::bare::{self, Bare, FAILS, Request};
use crate::case::Case;

const NAME: &str = "bench";

/// The operation that all requests are: not the first, so that no index is known to be 0.
const OPERATION: Operation = Operation::new(3, "bench");

/// More than any run can use up.
const ENDLESS: u64 = 1 << 60;

fn classify() -> ByResult {
    ByResult::new(RequestInfo::new(OPERATION))
}

pub(super) fn retry() -> Case {
    Case::shared(
        "sandtower/retry",
        RetryLayer::new(RetryConfig::recommended(), classify()).layer(Bare),
    )
}

pub(super) fn circuit_breaker() -> Case {
    let layer = CircuitBreakerLayer::from_breaker(breaker()).classify(classify());
    Case::shared("sandtower/circuit-breaker", layer.layer(Bare))
}

/// Opened by real failures, so that its rejections have all the numbers that a user sees; by the rule
/// that does not ask how long they go on already.
pub(super) fn circuit_breaker_open() -> Case {
    let breaker = built(BreakerConfig::recommended(NAME).trip(Trip::ConsecutiveFailures(5)));
    let mut service =
        CircuitBreakerLayer::from_breaker(breaker.clone()).classify(classify()).layer(Bare);
    let mut tries = 0;
    while breaker.snapshot().state != State::Open {
        assert!(tries < 1_000, "the breaker does not open");
        let _failed = bare::call(&mut service, FAILS);
        tries += 1;
    }
    Case::shared("sandtower/circuit-breaker-open", service)
}

/// Counts, and warns at parts of a limit that is far away.
pub(super) fn rate_limit() -> Case {
    let layer = RateLimitLayer::new(tracking(ENDLESS), classify());
    Case::shared("sandtower/rate-limit", layer.layer(Bare))
}

/// The preset `classic` after 100 calls in an hour: it lets calls through and reports that they are
/// too many.
pub(super) fn rate_limit_over() -> Case {
    let limit = tracking(100);
    let mut service = RateLimitLayer::new(limit.clone(), classify()).layer(Bare);
    for _ in 0..200 {
        let _response = bare::call(&mut service, 1);
    }
    assert!(limit.status(OPERATION).exceeded, "the limit is not used up");
    Case::shared("sandtower/rate-limit-over", service)
}

pub(super) fn admission() -> Case {
    Case::shared("sandtower/admission", admitted(Bare))
}

/// Each response is probed, with a probe that succeeds at once.
pub(super) fn health_check() -> Case {
    Case::shared("sandtower/health-check", checked(&[OPERATION]))
}

/// An operation that creates nothing.
pub(super) fn health_check_other() -> Case {
    Case::shared("sandtower/health-check-other", checked(&[]))
}

/// Around a service that works.
pub(super) fn fallback() -> Case {
    let layer = FallbackLayer::respond("bench", |_| Some(0), classify());
    Case::shared("sandtower/fallback", layer.layer(Bare))
}

pub(super) fn timeout() -> Case {
    let layer = TimeoutLayer::new(Limits::all(Duration::from_secs(30))).classify(classify());
    Case::shared("sandtower/timeout", layer.layer(Bare))
}

/// Four layers, each with its own shell.
pub(super) fn layers() -> Case {
    let breaker = CircuitBreakerLayer::from_breaker(breaker()).classify(classify()).layer(Bare);
    let limited = RateLimitLayer::new(tracking(ENDLESS), classify()).layer(breaker);
    let retry = RetryLayer::new(RetryConfig::recommended(), classify()).layer(admitted(limited));
    Case::shared("sandtower/layers", retry)
}

/// Retry over admission control with rate limit and breaker.
pub(super) fn stack() -> Case {
    Case::shared("sandtower/stack", stacked(enforcing(RateConfig::new(NAME))))
}

/// The same with a pace, which the recommended stack has for creations.
pub(super) fn stack_paced() -> Case {
    let pace = Pace::every(Duration::from_nanos(1)).burst(1_000);
    let config = RateConfig::new(NAME).pace(OPERATION, pace);
    Case::shared("sandtower/stack-paced", stacked(enforcing(config)))
}

#[expect(clippy::expect_used, reason = "a limit that is not 0")]
fn admitted<S: Clone>(inner: S) -> Admission<S> {
    let config = AdmissionConfig::new(NAME);
    AdmissionLayer::new(config).expect("its own defaults").classify(classify()).layer(inner)
}

#[expect(clippy::expect_used, reason = "limits that are not 0")]
fn stacked(limit: RateLimit) -> impl Service<Request, Future: Send> + Clone + Send + 'static {
    let gates = (limit, breaker());
    let room = AdmissionLayer::with_gates(AdmissionConfig::new(NAME), gates);
    let room = room.expect("its own defaults").classify(classify()).layer(Bare);
    RetryLayer::new(RetryConfig::recommended(), classify()).layer(room)
}

#[expect(clippy::expect_used, reason = "its own defaults")]
fn checked(
    operations: &'static [Operation],
) -> impl Service<Request, Future: Send> + Clone + Send + 'static {
    let check = check_fn(
        |_: Bare, _: &Request| Some(ready(Verdict::success())),
        |_: Bare, _: &Request| ready(()),
    );
    let layer = HealthCheckLayer::new(check.only(operations), CheckConfig::new(NAME));
    layer.expect("its own defaults").classify(classify()).layer(Bare)
}

fn breaker() -> CircuitBreaker {
    built(BreakerConfig::recommended(NAME))
}

/// Once open, it stays so for as long as any run takes.
#[expect(clippy::expect_used, reason = "a day is the longest that is allowed")]
fn built(config: BreakerConfig) -> CircuitBreaker {
    config.open_for(Duration::from_secs(24 * 60 * 60)).build().expect("its own defaults")
}

#[expect(clippy::expect_used, reason = "limits that are not 0")]
fn tracking(limit: u64) -> RateLimit {
    RateLimit::new(RateConfig::new(NAME).shadow(true).limit_each(limit))
        .expect("a limit that is not 0")
}

#[expect(clippy::expect_used, reason = "a pace that is not 0")]
fn enforcing(config: RateConfig) -> RateLimit {
    RateLimit::new(config).expect("a pace that is not 0")
}
