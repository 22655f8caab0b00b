//! One layer on a custom service: a circuit breaker, and its handle for the operator.
//!
//! ```sh
//! cargo run -p examples --example single_layer
//! ```
//!
//! The service need not use HTTP. With `default-features = false` and the feature `circuit-breaker` alone,
//! `sandtower` has neither HTTP nor TLS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sandtower::Message;
use sandtower::circuit_breaker::{CircuitBreakerLayer, State};
use sandtower::core::{BoxError, Rejection, find};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // The service: any request, any response, any error.
    let is_down = Arc::new(AtomicBool::new(true));
    let forecast = service_fn({
        let is_down = Arc::clone(&is_down);
        move |city: &'static str| {
            let response = match is_down.load(Ordering::Relaxed) {
                true => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                false => Ok(format!("sun in {city}")),
            };
            async move { response }
        }
    });

    // The recommended numbers: it opens once the evidence of an outage is strong, after about seven failed
    // calls and at least a second; then it sends a probe each second, later each ten.
    let layer = CircuitBreakerLayer::new("the forecast service");
    let breaker = layer.breaker().clone();
    let mut service = ServiceBuilder::new().layer(layer).service(forecast);

    while breaker.snapshot().state == State::Closed {
        ask(&mut service, "Prague").await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    ask(&mut service, "Prague").await;
    let snapshot = breaker.snapshot();
    say(&format!("the breaker is {}, {} failed", snapshot.state, snapshot.counters.failed));

    say("\nThe service is repaired, and its operator does not want to wait for the probe:");
    is_down.store(false, Ordering::Relaxed);
    breaker.reset();
    ask(&mut service, "Prague").await;

    say("\nThe operator stops all calls, for maintenance:");
    breaker.force_open();
    ask(&mut service, "Prague").await;
    // Unlike a reset, this admits one probe first, and the others when it has succeeded.
    breaker.release();
    ask(&mut service, "Prague").await;

    say("\nThe transitions of the breaker:");
    for moved in breaker.history() {
        let forced = if moved.forced { ", by its operator" } else { "" };
        say(&format!(
            "{} -> {}{forced}, {} of {} failed",
            moved.from, moved.to, moved.failed, moved.of
        ));
    }
    Ok(())
}

/// One call. A rejection is found anywhere in the chain of the error; all other errors are those of the
/// service.
async fn ask<S>(service: &mut S, city: &'static str)
where
    S: Service<&'static str, Response = String, Error = BoxError>,
{
    let result = async { service.ready().await?.call(city).await }.await;
    match result {
        Ok(forecast) => say(&forecast),
        Err(error) => match find::<Rejection>(&*error) {
            Some(rejection) => say(&format!("rejected: {}", Message::from(rejection))),
            None => say(&format!("failed: {error}")),
        },
    }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
