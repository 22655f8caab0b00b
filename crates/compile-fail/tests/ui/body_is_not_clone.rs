// A retry of HTTP requests whose body cannot be cloned.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, combinators::BoxBody};
use sandtower::core::BoxError;
use sandtower::retry::Config;
use tower::{Layer, ServiceExt, service_fn};

type Body = BoxBody<Bytes, BoxError>;

async fn send(_: Request<Body>) -> Result<Response<Empty<Bytes>>, BoxError> {
    Ok(Response::new(Empty::new()))
}

fn main() {
    let service = sandtower::http::retry_layer(Config::recommended()).layer(service_fn(send));
    let request = Request::new(Body::default());
    let _ = ServiceExt::<Request<Body>>::oneshot(service, request);
}
