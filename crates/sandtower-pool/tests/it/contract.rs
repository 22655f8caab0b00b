//! The contract of tower, for requests that pass and for creations.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower_e2b::{Config as E2bConfig, RawCreation};
use sandtower_pool::{Config, PoolLayer, Pooled};
use sandtower_testkit::{Contract, Exchange, Mock, Scenario};
use tower_layer::Layer;

type Req = Request<Full<Bytes>>;
type Res = Response<Full<Bytes>>;

const KEPT: &str = "a task stocks the pool, and keeps an instance";

fn contract(request: impl Fn(u64) -> Req + 'static) -> Contract<Req, Res, Pooled<Mock<Req, Res>>> {
    let e2b = E2bConfig::new("e2b_key").unwrap();
    let response = |number: u64| {
        let mut response = Response::new(Full::default());
        response.extensions_mut().insert(number);
        response
    };
    let config = Config::new().learn(0);
    Exchange::new(request, response).contract(
        move |inner| PoolLayer::new(config.clone(), &e2b).unwrap().layer(inner),
        |response| *response.extensions().get().unwrap(),
    )
}

#[test]
fn requests_that_create_nothing_pass() {
    contract(|_| Request::get("/v2/sandboxes").body(Full::default()).unwrap()).run();
}

#[test]
fn creations_that_are_not_served_from_stock_pass() {
    let e2b = E2bConfig::new("e2b_key").unwrap();
    contract(move |_| {
        let body = Bytes::from_static(br#"{"templateID":"base"}"#);
        let request =
            e2b.control_request(http::Method::POST, "/v2/sandboxes", Bytes::new()).unwrap();
        RawCreation::begin(&e2b, request.map(|_| body)).1
    })
    .skip(Scenario::CancelledCallsGiveBack, KEPT)
    .skip(Scenario::UncalledServicesGiveBack, KEPT)
    .skip(Scenario::DeadRuntimes, KEPT)
    .run();
}
