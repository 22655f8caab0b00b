//! A template that does not exist, and the default in its place.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandtower_core::{BoxError, Seed};
use sandtower_e2b::{Client, Config, DefaultTemplate, E2bInterpret, Error, NewSandbox, Sandbox};
use sandtower_fallback::Snapshot;
use sandtower_http::InterpretLayer;
use tower::{Layer, service_fn};

use super::support::{Reply, client, data};

const MADE: &str = r#"{"sandboxID":"i0123456789abcdefghij","templateID":"t0","clientID":"c0","envdVersion":"0.2.0"}"#;
const NOT_FOUND: &str = r#"{"code":404,"message":"template 'mine' not found"}"#;
const NO_SUCH_CALL: &str = r#"{"code":404,"message":"no matching operation was found"}"#;

struct Seen {
    result: Result<Sandbox, Error>,
    bodies: Vec<String>,
    counted: Snapshot,
}

/// Creates through a service that has the template `base` only and rejects all others with `no`.
async fn create(new: NewSandbox, no: &'static str) -> Seen {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let seen = Arc::clone(&seen);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8(body.to_vec())?;
            let (status, said) = match body.contains(r#""templateID":"base""#) {
                true => (201, MADE),
                false => (404, no),
            };
            seen.lock().unwrap().push(body);
            let said = Full::new(Bytes::from_static(said.as_bytes()));
            Ok::<_, BoxError>(Response::builder().status(status).body(said)?)
        }
    });
    let layer = DefaultTemplate::new("base").layer();
    let service = layer.layer(InterpretLayer::new(E2bInterpret::default()).layer(service));
    let config = Config::new("e2b_key").unwrap().seed(Seed::fixed(1));
    let result = Client::new(service, config).create(&new).await;
    let bodies = bodies.lock().unwrap().clone();
    Seen { result, bodies, counted: layer.handle().snapshot() }
}

fn call_id(body: &str) -> &str {
    let at = body.find("sandtower_call").unwrap();
    &body[at..at + 50]
}

#[tokio::test]
async fn a_template_that_is_not_found_is_replaced_by_the_default_one_in_the_same_call() {
    let new = NewSandbox::new("mine").metadata("user", "u-1").env("TOKEN", "s3cr3t");
    let Seen { result, bodies, counted } = create(new, NOT_FOUND).await;
    result.unwrap();
    let [first, second] = &bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(call_id(first), call_id(second));
    for body in [r#""templateID":"base""#, r#""user":"u-1""#, r#""TOKEN":"s3cr3t""#] {
        assert!(second.contains(body), "{second}");
    }
    assert_eq!((counted.used, counted.cured), (1, 1));
}

#[tokio::test]
async fn a_creation_of_the_default_template_is_sent_once() {
    let Seen { result, bodies, .. } = create(NewSandbox::new("base"), NOT_FOUND).await;
    result.unwrap();
    assert_eq!(bodies.len(), 1);
}

#[tokio::test]
async fn another_404_is_not_about_the_template() {
    let Seen { result, bodies, counted } = create(NewSandbox::new("mine"), NO_SUCH_CALL).await;
    assert_eq!(result.unwrap_err().status().unwrap(), 404);
    // The second goes to the older creation call.
    assert_eq!((bodies.len(), counted.used), (2, 0));
}

#[tokio::test]
async fn an_unknown_template_costs_one_creation_and_an_unknown_call_falls_back_to_the_older() {
    for (status, said, requests) in [
        (404, NOT_FOUND, 1),
        (404, r#"{"code":404,"message":"env 'nope' does not exist"}"#, 1),
        (404, r#"{"code":404,"message":"","error_code":"template_not_found"}"#, 1),
        (403, r#"{"code":403,"message":"template is not accessible"}"#, 1),
        (400, r#"{"code":400,"message":"no such template"}"#, 1),
        (404, NO_SUCH_CALL, 2),
        (404, "404 page not found", 2),
        (404, "", 2),
        (405, r#"{"code":405,"message":"method not allowed"}"#, 2),
    ] {
        let reply = Reply::Responds(status, vec![data(said)]);
        let client = client([reply]);
        for call in 1..=3 {
            client.create(&NewSandbox::new("nope")).await.unwrap_err();
            assert_eq!(client.service().sent(), call * requests, "{status} {said}");
        }
    }
}
