//! Idempotency keys, under a retry.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{Empty, Full};
use sandtower_core::{BoxError, Classify, HasInfo, Replay, Seed};
use sandtower_http::{HttpClassify, IdempotencyKeyLayer, retry_layer};
use sandtower_retry::Config;
use tower::{Layer, ServiceExt, service_fn};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends `request` to a service whose first response is lost, below `layer` if there is one; returns
/// the key of each attempt.
async fn keys(
    layer: Option<IdempotencyKeyLayer>,
    request: Request<Full<Bytes>>,
    header: HeaderName,
) -> Vec<Option<HeaderValue>> {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&keys);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let mut seen = seen.lock().unwrap();
        seen.push(request.headers().get(&header).cloned());
        let is_lost = seen.len() == 1;
        async move {
            match is_lost {
                true => Err(Error::from(ErrorKind::ConnectionReset)),
                false => Ok(Response::new(Empty::<Bytes>::new())),
            }
        }
    });
    let service = retry_layer(Config::recommended()).layer(service);
    let _: Result<_, BoxError> = match layer {
        Some(layer) => layer.layer(service).oneshot(request).await,
        None => service.oneshot(request).await,
    };
    let keys = keys.lock().unwrap();
    keys.clone()
}

fn request(method: Method) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/").body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_call_has_its_key_and_every_call_has_another() {
    let layer = IdempotencyKeyLayer::new();
    let mut seen = Vec::new();
    for method in [Method::POST, Method::PATCH] {
        let keys = keys(Some(layer.clone()), request(method), KEY).await;
        assert_eq!(keys.len(), 2);
        assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
        seen.extend(keys[0].clone());
    }
    assert_ne!(seen[0], seen[1]);
    assert!(seen.iter().all(|key| key.len() == 32));
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_key_is_kept() {
    let mut own = request(Method::POST);
    own.headers_mut().insert(KEY, HeaderValue::from_static("order-7"));
    let keys = keys(Some(IdempotencyKeyLayer::new()), own, KEY).await;
    assert_eq!(keys, [Some(HeaderValue::from_static("order-7")), keys[0].clone()]);
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_a_post_is_sent_once_whatever_key_it_has() {
    let mut own = request(Method::POST);
    own.headers_mut().insert(KEY, HeaderValue::from_static("order-7"));
    assert_eq!(keys(None, own, KEY).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_an_idempotent_method_gets_no_key() {
    assert_eq!(
        keys(Some(IdempotencyKeyLayer::new()), request(Method::PUT), KEY).await,
        [None, None]
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_may_be_in_another_field_and_drawn_from_a_seed() {
    const OTHER: HeaderName = HeaderName::from_static("x-request-id");
    let layer = || Some(IdempotencyKeyLayer::new().header(OTHER).seed(Seed::fixed(1)));
    let first = keys(layer(), request(Method::POST), OTHER).await;
    assert!(first[0].is_some());
    assert_eq!(first, keys(layer(), request(Method::POST), OTHER).await);
    assert_eq!(keys(layer(), request(Method::POST), KEY).await, [None, None]);
}

#[tokio::test]
async fn a_classifier_above_the_layer_knows_nothing_of_the_key() {
    let info = |request: &Request<_>| *HttpClassify::default().classify(request).info();
    let below = service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, BoxError>(*HttpClassify::default().classify(&request).info())
    });
    let post = request(Method::POST);
    assert_eq!(info(&post).replay, Replay::Unsafe);
    let below = IdempotencyKeyLayer::new().layer(below).oneshot(post).await.unwrap();
    assert_eq!(below.replay, Replay::Safe);
}
