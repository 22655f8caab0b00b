//! The layers on both sides of gRPC: in a Tonic server, and around a Tonic client.
//!
//! ```sh
//! cargo run -p examples --example tonic_service
//! ```
//!
//! On either side rejections are gRPC statuses, with the time to come back where anybody knows it. The
//! service is gRPC's own health service, whose code needs no build step; yours is used the same way.

mod server;

use std::time::Duration;

use http::{Request, Response};
use sandtower::ServiceBuilderExt;
use sandtower::circuit_breaker::CircuitBreaker;
use sandtower::core::{Backoff, BoxError, Operation, Replay};
use sandtower::http::{
    GrpcClassify, GrpcInterpret, GrpcMethod, Http, RejectionResponseLayer, ReplayBody, ReplayLayer,
    Replayed,
};
use sandtower::retry::{Config, RetryLayer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt};

use server::Work;

const CHECK: Operation = Operation::new(1, "health_check");
/// gRPC does not say which of its methods may be called twice: you do.
static METHODS: &[GrpcMethod] =
    &[GrpcMethod::new("/grpc.health.v1.Health/Check", CHECK, Replay::Safe)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    let work = Work::default();
    tokio::spawn(server::serve(listener, work.clone()));
    let channel = endpoint.connect_lazy();

    say("The server lets one call in and one wait. Three come at once, without any layers:");
    let mut calls: JoinSet<_> = (0..3).map(|_| call(bare(channel.clone()))).collect();
    for number in 0..3 {
        if number == 1 {
            // Until now nothing was done but to reject.
            work.finish(2);
        }
        if let Some(answer) = calls.join_next().await {
            say(&answer?);
        }
    }
    work.info();

    let breaker = CircuitBreaker::classic("the health service");
    let client = layered(channel, &breaker);
    say("\nThe client has layers. The server has two bad moments:");
    work.fail(2);
    work.finish(1);
    say(&call(client.clone()).await);
    say(&format!("calls that came in: {}", work.info()));

    say("\nThe server is down for long:");
    work.fail(1_000);
    for _ in 0..3 {
        say(&call(client.clone()).await);
    }
    say(&format!("calls that came in: {}; the breaker is {}", work.info(), breaker.state()));
    Ok(())
}

/// What is below the client of a service, however many layers that is.
type Layered = BoxCloneService<Request<Body>, Response<Body>, Status>;

fn bare(channel: Channel) -> HealthClient<Layered> {
    HealthClient::new(BoxCloneService::new(
        channel.map_err(|error| Status::from_error(error.into())),
    ))
}

/// A client whose calls go through layers.
fn layered(channel: Channel, breaker: &CircuitBreaker) -> HealthClient<Layered> {
    let classify = GrpcClassify::new(METHODS);
    // In quick steps, so that this is over soon; 0.25 s doubling to 8 s is recommended.
    let steps = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(100));
    let retry = RetryLayer::new(Config::recommended().transient(steps.full_jitter()));
    let service = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_response(|answer: Response<_>| answer.map(Body::new))
        // To whoever calls, a rejection is a status like others.
        .layer(RejectionResponseLayer::grpc())
        // Tonic's bodies are streams: what was sent of one is kept for the next attempt.
        .layer(ReplayLayer::new())
        .retry_by_verdict(retry.resend(Replayed).answers(Http), classify)
        .break_circuit(breaker.clone(), classify)
        // Tells the breaker of calls that fail at their end, in trailers.
        .interpret(GrpcInterpret)
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    HealthClient::new(BoxCloneService::new(service))
}

async fn call(mut client: HealthClient<Layered>) -> String {
    match client.check(HealthCheckRequest::default()).await {
        Ok(answer) => format!("answered: {:?}", answer.into_inner().status()),
        Err(status) => said(&status),
    }
}

fn said(status: &Status) -> String {
    let after = status.metadata().get("grpc-retry-pushback-ms");
    let after = after.and_then(|after| after.to_str().ok());
    let after = after.map_or(String::new(), |after| format!(" [come back in {after} ms]"));
    format!("{:?}: {}{after}", status.code(), status.message())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
