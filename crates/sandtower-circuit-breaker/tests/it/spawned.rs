//! Calls through a breaker whose classifier is a closure, in a task of their own.

use std::io;

use sandtower_circuit_breaker::CircuitBreakerLayer;
use sandtower_core::BoxError;
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn a_call_with_a_closure_that_says_what_failed_can_be_spawned() {
    let layer = CircuitBreakerLayer::new("search").failure_if(|status: &u16| *status >= 500);
    let service = layer.layer(service_fn(async |status: u16| Ok::<_, io::Error>(status)));
    let call = tokio::spawn(async move { service.oneshot(503).await });
    assert_eq!(call.await.unwrap().unwrap(), 503);
    assert_eq!(layer.breaker().snapshot().recent_failures, 1);
}

/// A response whose type names `'static`, as that of a boxed body does. The compiler takes it for one of
/// any lifetime within an `async` block: spawn the future itself, or box the service.
type Boxed = Result<u16, BoxError>;

#[tokio::test]
async fn a_call_whose_response_is_boxed_can_be_spawned_as_it_is_or_from_a_boxed_service() {
    let layer = CircuitBreakerLayer::new("search").failure_if(|response: &Boxed| response.is_err());
    let service = layer
        .layer(service_fn(async |name: String| Ok::<Boxed, io::Error>(Err(BoxError::from(name)))));
    let boxed = service.clone().boxed_clone();
    let call = tokio::spawn(service.oneshot(String::from("broken")));
    assert!(call.await.unwrap().unwrap().is_err());
    let call = tokio::spawn(async move { boxed.oneshot(String::from("broken")).await });
    assert!(call.await.unwrap().unwrap().is_err());
    assert_eq!(layer.breaker().snapshot().recent_failures, 2);
}
