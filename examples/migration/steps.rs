//! The application, step by step: `docs/migration.md` explains each of them.

use sandtower::circuit_breaker::{self, CircuitBreakerLayer};
use sandtower::core::{BoxError, Priority};
use sandtower::e2b::{Client, Config, E2bClassify, E2bInterpret, SandboxCheck};
use sandtower::health_check::{self, HealthCheckLayer};
use sandtower::http::{Http as Resend, InterpretLayer};
use sandtower::retry::{self, RetryLayer};
use sandtower::stack::{Preset, Stack};
use tower::ServiceBuilder;

use crate::today::Today;
use crate::world::{Http, Seen, users, users_who_hold};

/// The hand-written pattern.
pub(crate) async fn step_0(http: Http, config: Config) -> Result<Seen, BoxError> {
    let client = Client::new(http.clone(), config);
    users(&http, Today::new(client.clone()), client).await
}

/// The same pattern in the same order, from layers.
pub(crate) async fn step_1(http: Http, config: Config) -> Result<Seen, BoxError> {
    let breaker = circuit_breaker::Config::recommended("E2B").build()?;
    let retry = RetryLayer::new(retry::Config::classic(), E2bClassify)
        .resend(Resend)
        .response_hooks(Resend);
    let check = HealthCheckLayer::classic(SandboxCheck::new(config.clone()));
    let service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::from_breaker(breaker).classify(E2bClassify))
        .layer(retry)
        .layer(check.classify(E2bClassify))
        .layer(InterpretLayer::new(E2bInterpret::default()))
        .service(http.clone());
    let client = Client::new(service, config.clone());
    let rest = Client::new(http.clone(), config);
    users(&http, client, rest).await
}

/// The breaker sees attempts, and dead sandboxes are recreated.
pub(crate) async fn step_2(http: Http, config: Config) -> Result<Seen, BoxError> {
    let breaker = circuit_breaker::Config::recommended("E2B").build()?;
    let retry = RetryLayer::new(retry::Config::classic(), E2bClassify)
        .resend(Resend)
        .response_hooks(Resend);
    let check = SandboxCheck::new(config.clone());
    let check = HealthCheckLayer::new(check, health_check::Config::new("E2B"))?;
    let service = ServiceBuilder::new()
        .layer(retry)
        .layer(check.classify(E2bClassify))
        .layer(CircuitBreakerLayer::from_breaker(breaker).classify(E2bClassify))
        .layer(InterpretLayer::new(E2bInterpret::default()))
        .service(http.clone());
    let client = Client::new(service, config.clone());
    let rest = Client::new(http.clone(), config);
    users(&http, client, rest).await
}

/// The whole stack, with the application's numbers except for the breaker and the check.
pub(crate) async fn step_3(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config)
        .preset(Preset::Classic)
        .circuit_breaker(|_| circuit_breaker::Config::recommended("E2B"))
        .health_check(|_| health_check::Config::new("E2B"))
        .build()?;
    let client = stack.client(http.clone());
    users(&http, client.clone(), client).await
}

/// The recommended numbers, and an owner that kills each sandbox.
pub(crate) async fn step_4(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config).build()?;
    let client = stack.client(http.clone());
    users_who_hold(&http, client).await
}

/// Callers wait through an outage instead of being rejected.
pub(crate) async fn step_5(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config)
        .admission(|admission| admission.hold_through_outage(Priority::ALL))
        .build()?;
    let client = stack.client(http.clone());
    users_who_hold(&http, client).await
}
