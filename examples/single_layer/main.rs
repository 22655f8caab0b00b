//! One layer on a service of one's own: a circuit breaker, and its handle for whoever operates it.
//!
//! ```sh
//! cargo run -p examples --example single_layer
//! ```
//!
//! The service need not speak HTTP. With `default-features = false` and the feature
//! `circuit-breaker` alone, `sandtower` brings neither HTTP nor TLS along.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sandtower::Message;
use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
use sandtower::core::{BoxError, Rejection, find};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // The service: any request, any response, any error.
    let is_down = Arc::new(AtomicBool::new(true));
    let weather = service_fn({
        let is_down = Arc::clone(&is_down);
        move |city: &'static str| {
            let answer = match is_down.load(Ordering::Relaxed) {
                true => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                false => Ok(format!("sun in {city}")),
            };
            async move { answer }
        }
    });

    // Opens after 5 failures in a row, for a minute. Clones of the handle are the same breaker.
    let breaker = CircuitBreaker::classic("the weather service");
    let mut service =
        ServiceBuilder::new().layer(CircuitBreakerLayer::new(breaker.clone())).service(weather);

    for _ in 0..6 {
        ask(&mut service, "Prague").await;
    }
    let snapshot = breaker.snapshot();
    say(&format!("the breaker is {}, {} failed", snapshot.state, snapshot.counters.failed));

    say("\nThe service is mended, and its operator does not want to wait for the minute:");
    is_down.store(false, Ordering::Relaxed);
    breaker.reset();
    ask(&mut service, "Prague").await;

    say("\nNow it is to be left alone, for maintenance:");
    breaker.force_open();
    ask(&mut service, "Prague").await;
    // Unlike a reset, this lets one call through first, and the others when it has succeeded.
    breaker.release();
    ask(&mut service, "Prague").await;

    say("\nWhat happened to the breaker:");
    for moved in breaker.history() {
        let forced = if moved.forced { ", by its operator" } else { "" };
        say(&format!(
            "{} -> {}{forced}, {} of {} failed",
            moved.from, moved.to, moved.failed, moved.of
        ));
    }
    Ok(())
}

/// One call. A rejection is found in the error, wherever in its chain it is; all other errors are the
/// service's own.
async fn ask<S>(service: &mut S, city: &'static str)
where
    S: Service<&'static str, Response = String, Error = BoxError>,
{
    let answer = async { service.ready().await?.call(city).await }.await;
    match answer {
        Ok(weather) => say(&weather),
        Err(error) => match find::<Rejection>(&*error) {
            Some(rejection) => say(&format!("not asked: {}", Message::from(rejection))),
            None => say(&format!("failed: {error}")),
        },
    }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
