//! What others have for the same purposes, with their default numbers where these let an endless
//! loop through. Breakers are opened by real failures, as ours is.

use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use failsafe::futures::CircuitBreaker as _;
use failsafe::{StateMachine, backoff, failure_policy};
use governor::clock::MonotonicClock;
use governor::{Quota, RateLimiter};
use recloser::{AsyncRecloser, Recloser};
use tower::limit::{ConcurrencyLimit, RateLimit, rate::Rate};
use tower::retry::Policy;
use tower::retry::budget::{Budget, TpsBudget};
use tower::timeout::Timeout;
use tower::{Layer, Service};
use tower_resilience_bulkhead::{Bulkhead, BulkheadLayer};
use tower_resilience_circuitbreaker::{
    CircuitBreaker, CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier,
};
use tower_resilience_ratelimiter::{RateLimiter as ResilientLimiter, RateLimiterLayer};
use tower_resilience_retry::{Retry as ResilientRetry, RetryBudgetBuilder, RetryLayer};

use crate::bare::{self, Bare, FAILS, Request, Response};
use crate::case::{Case, Runner, repeat};
use crate::runtime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// More calls at once, or in a second, than any loop makes.
const MANY: usize = 1 << 30;

/// Lets calls fail until `is_open` says that the breaker does not ask the service any more.
fn open<S: Service<Request>>(service: &mut S, is_open: impl Fn(&S::Error) -> bool) {
    for _ in 0..1_000 {
        if bare::call(service, FAILS).is_err_and(|error| is_open(&error)) {
            return;
        }
    }
    panic!("the breaker does not open");
}

// tower-resilience

pub(super) fn resilience_retry() -> Case {
    Case::shared("tower-resilience/retry", resilient_retry(Bare))
}

pub(super) fn resilience_circuit_breaker() -> Case {
    let service = resilient_breaker(CircuitBreakerLayer::builder(), Bare);
    Case::shared("tower-resilience/circuit-breaker", service)
}

pub(super) fn resilience_circuit_breaker_open() -> Case {
    let config = CircuitBreakerLayer::builder().consecutive_failures(5).wait_duration_in_open(DAY);
    let mut service = resilient_breaker(config, Bare);
    open(&mut service, |error| error.is_circuit_open());
    Case::shared("tower-resilience/circuit-breaker-open", service)
}

pub(super) fn resilience_rate_limit() -> Case {
    Case::shared("tower-resilience/rate-limit", resilient_limiter(Bare))
}

pub(super) fn resilience_bulkhead() -> Case {
    Case::shared("tower-resilience/bulkhead", resilient_bulkhead(Bare))
}

/// In the order of our four layers.
pub(super) fn resilience_stack() -> Case {
    let breaker = resilient_breaker(CircuitBreakerLayer::builder(), Bare);
    let stack = resilient_retry(resilient_bulkhead(resilient_limiter(breaker)));
    Case::shared("tower-resilience/stack", stack)
}

#[expect(clippy::expect_used, reason = "its own defaults")]
fn resilient_retry<S>(inner: S) -> ResilientRetry<S, Request, S::Response, S::Error>
where
    S: Service<Request>,
{
    let budget = RetryBudgetBuilder::new().token_bucket().build().expect("its own defaults");
    RetryLayer::exponential_backoff().budget(budget).build().layer(inner)
}

#[expect(clippy::expect_used, reason = "its own defaults")]
fn resilient_breaker<S>(
    config: CircuitBreakerConfigBuilder<DefaultClassifier>,
    inner: S,
) -> CircuitBreaker<S, DefaultClassifier> {
    config.build().expect("its own defaults").layer(inner)
}

#[expect(clippy::expect_used, reason = "its own defaults")]
fn resilient_limiter<S>(inner: S) -> ResilientLimiter<S> {
    let layer = RateLimiterLayer::builder().limit_for_period(MANY).build();
    layer.expect("its own defaults").layer(inner)
}

#[expect(clippy::expect_used, reason = "its own defaults")]
fn resilient_bulkhead<S>(inner: S) -> Bulkhead<S> {
    BulkheadLayer::builder().build().expect("its own defaults").layer(inner)
}

// tower

/// The policy that tower's documentation shows.
#[derive(Clone)]
struct Budgeted(Arc<TpsBudget>);

impl<Res, E> Policy<Request, Res, E> for Budgeted {
    type Future = Ready<()>;

    fn retry(&mut self, _request: &mut Request, result: &mut Result<Res, E>) -> Option<Ready<()>> {
        match result {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}

pub(super) fn tower_retry() -> Case {
    Case::shared("tower/retry", towers_retry(Bare))
}

pub(super) fn tower_concurrency_limit() -> Case {
    Case::shared("tower/concurrency-limit", ConcurrencyLimit::new(Bare, 64))
}

/// Cannot be cloned, so that it is for one thread, or behind a buffer.
pub(super) fn tower_rate_limit() -> Case {
    Case::alone("tower/rate-limit", || towers_rate_limit(Bare))
}

pub(super) fn tower_timeout() -> Case {
    Case::shared("tower/timeout", Timeout::new(Bare, Duration::from_secs(30)))
}

/// Retry inside of the rate limit, since it asks for a service that can be cloned.
pub(super) fn tower_stack() -> Case {
    Case::alone("tower/stack", || {
        let retry = towers_retry(Timeout::new(Bare, Duration::from_secs(30)));
        towers_rate_limit(ConcurrencyLimit::new(retry, 64))
    })
}

fn towers_retry<S>(inner: S) -> tower::retry::Retry<Budgeted, S> {
    tower::retry::Retry::new(Budgeted(Arc::new(TpsBudget::default())), inner)
}

fn towers_rate_limit<S>(inner: S) -> RateLimit<S> {
    RateLimit::new(inner, Rate::new(u64::MAX, Duration::from_secs(1)))
}

/// Driven by the runtime that its worker needs.
pub(super) fn tower_buffer() -> Case {
    Case::work("tower/buffer", buffered)
}

fn buffered() -> Runner {
    let runtime = runtime::new();
    let (mut service, worker) = tower::buffer::Buffer::pair(Bare, 64);
    runtime.spawn(worker);
    Box::new(move |calls| {
        runtime.block_on(async {
            for _ in 0..calls {
                let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
                let response = match ready {
                    Ok(()) => service.call(std::hint::black_box(1)).await,
                    Err(error) => Err(error),
                };
                let _ = std::hint::black_box(response);
            }
        });
    })
}

// Breakers that are no services: each call is put into theirs.

/// A service whose calls go through `breaker`.
#[derive(Clone)]
struct Through<B>(B);

type Failsafe = StateMachine<failure_policy::ConsecutiveFailures<backoff::Constant>, ()>;

impl Service<Request> for Through<Failsafe> {
    type Response = Request;
    type Error = failsafe::Error<bare::Broken>;
    type Future = failsafe::futures::ResponseFuture<
        Response,
        failure_policy::ConsecutiveFailures<backoff::Constant>,
        (),
        failsafe::Any,
    >;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(Bare.call(request))
    }
}

pub(super) fn failsafe() -> Case {
    Case::shared("failsafe/circuit-breaker", through_failsafe())
}

pub(super) fn failsafe_open() -> Case {
    let mut service = through_failsafe();
    open(&mut service, |error| matches!(error, failsafe::Error::Rejected));
    Case::shared("failsafe/circuit-breaker-open", service)
}

fn through_failsafe() -> Through<Failsafe> {
    let policy = failure_policy::consecutive_failures(5, backoff::constant(DAY));
    Through(failsafe::Config::new().failure_policy(policy).build())
}

impl Service<Request> for Through<AsyncRecloser> {
    type Response = Request;
    type Error = recloser::Error<bare::Broken>;
    type Future = recloser::RecloserFuture<Response, recloser::AnyError>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(Bare.call(request))
    }
}

pub(super) fn recloser() -> Case {
    Case::shared("recloser/circuit-breaker", through_recloser())
}

pub(super) fn recloser_open() -> Case {
    let mut service = through_recloser();
    open(&mut service, |error| matches!(error, recloser::Error::Rejected));
    Case::shared("recloser/circuit-breaker-open", service)
}

fn through_recloser() -> Through<AsyncRecloser> {
    Through(AsyncRecloser::from(Recloser::custom().open_wait(DAY).build()))
}

// governor: only its check, with no service below.

/// With its own clock, which reads the processor's counter.
pub(super) fn governor() -> Case {
    let limiter = Arc::new(RateLimiter::direct(quota()));
    Case::shared_work("governor/check", move || {
        let limiter = Arc::clone(&limiter);
        repeat(move || limiter.check().is_ok())
    })
}

/// With the clock of the standard library, which all others here read.
pub(super) fn governor_std() -> Case {
    let limiter = Arc::new(RateLimiter::direct_with_clock(quota(), MonotonicClock));
    Case::shared_work("governor/check-std-clock", move || {
        let limiter = Arc::clone(&limiter);
        repeat(move || limiter.check().is_ok())
    })
}

fn quota() -> Quota {
    Quota::per_second(NonZeroU32::MAX)
}
