//! A hyper client with four layers, stacked by hand: retry, health check, rate limit, circuit breaker.
//!
//! ```sh
//! cargo run -p examples --example hyper_client
//! ```
//!
//! `sandtower::stack` does all of this and more; use it unless you want another order, fewer layers, or your
//! own layers in between. Missing here: admission control (a call that comes too soon is rejected), and
//! creation tracking, which finds the sandboxes of lost responses.
//!
//! E2B is simulated: a third of its creations fail, and some of the new sandboxes are dead.

use std::time::Duration;

use examples::simulated;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sandtower::circuit_breaker::{self, CircuitBreaker, CircuitBreakerLayer};
use sandtower::core::{Backoff, BoxError};
use sandtower::e2b::{self, Command, E2bClassify, E2bInterpret, NewSandbox, SandboxCheck};
use sandtower::health_check::{self, HealthCheckLayer};
use sandtower::http::{Http, InterpretLayer};
use sandtower::rate_limit::{self, RateLimit, RateLimitLayer};
use sandtower::retry::{self, RetryLayer};
use sandtower_sim::{Fault, FaultKind, FaultResponse, Plan, Sim};
use tower::ServiceBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let sim = simulator()?;
    let config = simulated::config(&simulated::serve(sim.clone()).await?)?;

    // Short waits, so that the run finishes soon; 0.25 s doubling to 8 s is recommended.
    let steps = Backoff::exponential(Duration::from_millis(20), Duration::from_millis(200));
    let retry = retry::Config::recommended().transient(steps.full_jitter());
    let retry = RetryLayer::new(retry, E2bClassify);
    // A new sandbox has to echo a text within this time; otherwise it is killed, and the retry above creates
    // another.
    let check = health_check::Config::new("E2B").tries(1).probe_within(Duration::from_secs(1));
    let check = HealthCheckLayer::new(SandboxCheck::new(config.clone()), check)?;
    // Counts the calls of the last hour by operation; without a limit it rejects nothing.
    let rate_limit = RateLimit::new(rate_limit::Config::new("E2B"))?;
    let breaker = circuit_breaker::Config::recommended("E2B").build()?;

    // The handles stay here, to be read while the layers work.
    let handles = Handles {
        retry: retry.handle().clone(),
        check: check.handle().clone(),
        rate_limit,
        breaker,
    };
    let service = ServiceBuilder::new()
        // `Http` copies requests for the next attempt, and discards failed responses cleanly.
        .layer(retry.resend(Http).response_hooks(Http))
        .layer(check.classify(E2bClassify))
        .layer(RateLimitLayer::new(handles.rate_limit.clone(), E2bClassify))
        .layer(CircuitBreakerLayer::from_breaker(handles.breaker.clone()).classify(E2bClassify))
        // Innermost: interprets the bodies of error responses for all of them.
        .layer(InterpretLayer::new(E2bInterpret::default()))
        .service(Client::builder(TokioExecutor::new()).build_http());

    // Any HTTP request can go through it; the typed client builds those of E2B.
    let e2b = e2b::Client::new(service, config);
    for number in 1..=8 {
        let sandbox = e2b.create(&NewSandbox::new("base")).await?;
        let output = e2b.run(&sandbox, &Command::new(format!("echo {number}"))).await?;
        say(&format!("sandbox {} says {}", sandbox.id(), output.stdout_text().trim()));
        e2b.kill(sandbox.id()).await?;
    }
    // A sandbox that fails its check is killed in the background.
    handles.check.drain(Duration::from_secs(30)).await?;
    handles.show();
    say(&format!("sandboxes left behind: {}", sim.active()));
    Ok(())
}

struct Handles {
    retry: retry::Handle,
    check: health_check::Handle,
    rate_limit: RateLimit,
    breaker: CircuitBreaker,
}

impl Handles {
    fn show(&self) {
        let (retry, check) = (self.retry.snapshot(), self.check.snapshot());
        let creations = self.rate_limit.status(e2b::operation::SANDBOX_CREATE).count;
        say(&format!("\nretry: {} retries, {} calls cured", retry.retries, retry.cured));
        say(&format!("health check: {} checked, {} failed", check.checked, check.failed));
        say(&format!("rate limit: {creations} creations sent within the hour"));
        say(&format!("circuit breaker: {}", self.breaker.snapshot().state));
    }
}

fn simulator() -> Result<Sim, BoxError> {
    let full = Fault {
        on: vec![String::from("sandbox_create")],
        rate: 0.3,
        response: Some(FaultResponse::Capacity503),
        ..Fault::new("no capacity", FaultKind::Respond)
    };
    let dead = Fault { rate: 0.3, ..Fault::new("dead on arrival", FaultKind::Zombie) };
    Ok(sandtower_sim::Config::new().seed(4).plan(Plan::Pro).faults(vec![full, dead]).build()?)
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
