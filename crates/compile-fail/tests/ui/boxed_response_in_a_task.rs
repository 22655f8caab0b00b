// A closure classifies a response whose type names `'static`, inside a spawned `async` block.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, combinators::BoxBody};
use sandtower::circuit_breaker::CircuitBreakerLayer;
use sandtower::core::BoxError;
use tower::{Layer, ServiceExt, service_fn};

type Boxed = Response<BoxBody<Bytes, BoxError>>;

async fn send(_: Request<Empty<Bytes>>) -> Result<Boxed, BoxError> {
    Ok(Response::new(BoxBody::default()))
}

fn main() {
    let layer = CircuitBreakerLayer::new("search");
    let layer = layer.failure_if(|response: &Boxed| response.status().is_server_error());
    let service = layer.layer(service_fn(send));
    tokio::spawn(async move { service.oneshot(Request::new(Empty::new())).await.is_ok() });
}
