//! The layers on both sides of gRPC: in a Tonic server, and around a Tonic client.
//!
//! ```sh
//! cargo run -p examples --example tonic_service
//! ```
//!
//! On either side rejections are gRPC statuses, with the time to retry if it is known. The service is gRPC's
//! own health service, whose code needs no build step; yours is used in the same way.

mod server;

use std::time::Duration;

use http::{Request, Response};
use sandtower::circuit_breaker::{self, CircuitBreaker, CircuitBreakerLayer, Trip};
use sandtower::core::{Backoff, BoxError, Operation, Replay};
use sandtower::http::{
    GrpcClassify, GrpcInterpret, GrpcMethod, Http, InterpretLayer, RejectionResponseLayer,
    ReplayBody, ReplayLayer, Replayed,
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
/// gRPC does not say which of its methods may be called twice: you declare it.
static METHODS: &[GrpcMethod] =
    &[GrpcMethod::new("/grpc.health.v1.Health/Check", CHECK, Replay::Safe)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    let work = Work::default();
    tokio::spawn(server::serve(listener, work.clone()));
    let channel = endpoint.connect_lazy();

    say("The server admits one call and queues one. Three arrive at once, without client layers:");
    let mut calls: JoinSet<_> = (0..3).map(|_| call(bare(channel.clone()))).collect();
    for number in 0..3 {
        if number == 1 {
            // So far all were rejected or waiting.
            work.finish(2);
        }
        if let Some(response) = calls.join_next().await {
            say(&response?);
        }
    }
    work.info();

    // Failures in a row, so that this program is short. By default it weighs evidence.
    let breaker = circuit_breaker::Config::recommended("the health service");
    let breaker = breaker.trip(Trip::ConsecutiveFailures(5)).build()?;
    let client = layered(channel, &breaker);
    say("\nThe client has layers. The server has two transient failures:");
    work.fail(2);
    work.finish(1);
    say(&call(client.clone()).await);
    say(&format!("calls that arrived: {}", work.info()));

    say("\nThe server is down for long:");
    work.fail(1_000);
    for _ in 0..3 {
        say(&call(client.clone()).await);
    }
    say(&format!(
        "calls that arrived: {}; the breaker is {}",
        work.info(),
        breaker.snapshot().state
    ));
    Ok(())
}

/// The type of the service below the client, however many layers it has.
type Layered = BoxCloneService<Request<Body>, Response<Body>, Status>;

fn bare(channel: Channel) -> HealthClient<Layered> {
    HealthClient::new(BoxCloneService::new(
        channel.map_err(|error| Status::from_error(error.into())),
    ))
}

/// A client whose calls go through layers.
fn layered(channel: Channel, breaker: &CircuitBreaker) -> HealthClient<Layered> {
    let classify = GrpcClassify::new(METHODS);
    // Short waits, so that the run finishes soon; 0.25 s doubling to 8 s is recommended.
    let steps = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(100));
    let retry = RetryLayer::new(Config::recommended().transient(steps.full_jitter()), classify);
    let service = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_response(|response: Response<_>| response.map(Body::new))
        // For the caller, a rejection is a status like others.
        .layer(RejectionResponseLayer::grpc())
        // Tonic's bodies are streams: what was sent of one is buffered for the next attempt.
        .layer(ReplayLayer::new())
        .layer(retry.resend(Replayed).response_hooks(Http))
        .layer(CircuitBreakerLayer::from_breaker(breaker.clone()).classify(classify))
        // Reports calls that fail at their end, in trailers, to the breaker.
        .layer(InterpretLayer::new(GrpcInterpret))
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    HealthClient::new(BoxCloneService::new(service))
}

async fn call(mut client: HealthClient<Layered>) -> String {
    match client.check(HealthCheckRequest::default()).await {
        Ok(response) => format!("responded: {:?}", response.into_inner().status()),
        Err(status) => said(&status),
    }
}

fn said(status: &Status) -> String {
    let after = status.metadata().get("grpc-retry-pushback-ms");
    let after = after.and_then(|after| after.to_str().ok());
    let after = after.map_or(String::new(), |after| format!(" [retry in {after} ms]"));
    format!("{:?}: {}{after}", status.code(), status.message())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
