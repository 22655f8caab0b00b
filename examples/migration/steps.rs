//! What the application becomes, step by step: `docs/migration.md` explains each of them.

use sandtower::ServiceBuilderExt;
use sandtower::circuit_breaker::{self, WhenOpen};
use sandtower::core::BoxError;
use sandtower::e2b::{Client, Config, E2bClassify, E2bInterpret, SandboxCheck};
use sandtower::health_check::{self, HealthCheckLayer};
use sandtower::http::Http as Resend;
use sandtower::retry::RetryLayer;
use sandtower::stack::{Preset, Stack};
use tower::ServiceBuilder;

use crate::today::Today;
use crate::world::{Http, Seen, users, users_who_hold};

/// The pattern by hand.
pub(crate) async fn step_0(http: Http, config: Config) -> Result<Seen, BoxError> {
    let client = Client::new(http.clone(), config);
    users(&http, Today::new(client.clone()), client).await
}

/// The same pattern in the same order, of layers.
pub(crate) async fn step_1(http: Http, config: Config) -> Result<Seen, BoxError> {
    let breaker = circuit_breaker::Config::new("E2B").build()?;
    let retry = RetryLayer::classic().resend(Resend).answers(Resend);
    let check = HealthCheckLayer::classic(SandboxCheck::new(config.clone()));
    let service = ServiceBuilder::new()
        .break_circuit(breaker, E2bClassify)
        .retry_by_verdict(retry, E2bClassify)
        .check_answers(check, E2bClassify)
        .interpret(E2bInterpret::default())
        .service(http.clone());
    let client = Client::new(service, config.clone());
    let rest = Client::new(http.clone(), config);
    users(&http, client, rest).await
}

/// The breaker sees attempts, and what is dead is made anew.
pub(crate) async fn step_2(http: Http, config: Config) -> Result<Seen, BoxError> {
    let breaker = circuit_breaker::Config::new("E2B").build()?;
    let retry = RetryLayer::classic().resend(Resend).answers(Resend);
    let check = SandboxCheck::new(config.clone());
    let check = HealthCheckLayer::new(check, health_check::Config::new("E2B"))?;
    let service = ServiceBuilder::new()
        .retry_by_verdict(retry, E2bClassify)
        .check_answers(check, E2bClassify)
        .break_circuit(breaker, E2bClassify)
        .interpret(E2bInterpret::default())
        .service(http.clone());
    let client = Client::new(service, config.clone());
    let rest = Client::new(http.clone(), config);
    users(&http, client, rest).await
}

/// The whole stack, with the application's numbers but for the breaker and the check.
pub(crate) async fn step_3(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config)
        .preset(Preset::Classic)
        .circuit_breaker(|_| circuit_breaker::Config::new("E2B"))
        .health_check(|_| health_check::Config::new("E2B"))
        .build()?;
    let client = stack.client(http.clone());
    users(&http, client.clone(), client).await
}

/// The numbers that are recommended, and a holder that ends each sandbox.
pub(crate) async fn step_4(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config).build()?;
    let client = stack.client(http.clone());
    users_who_hold(&http, client).await
}

/// Callers wait out an outage instead of being rejected.
pub(crate) async fn step_5(http: Http, config: Config) -> Result<Seen, BoxError> {
    let stack = Stack::builder(config)
        .circuit_breaker(|breaker| breaker.when_open(WhenOpen::Hold))
        .build()?;
    let client = stack.client(http.clone());
    users_who_hold(&http, client).await
}
