//! Creations that other clients ask for.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sandtower_e2b::{CallId, Client, RawCreation, SandboxTracker, Unclaimed};
use tower::ServiceExt;

use super::fake::{Fake, Fate, Req, Retried, config, retried};

const LONG: std::time::Duration = std::time::Duration::from_secs(1_000);
const BODY: &str = r#"{"templateID":"base","new":{"b":1.0}}"#;

fn raw() -> Request<Bytes> {
    Request::post("http://api.test/v2/sandboxes")
        .header("content-length", BODY.len())
        .body(Bytes::from(BODY))
        .unwrap()
}

fn keyed(key: &str) -> Request<Bytes> {
    let mut request = raw();
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

async fn sent(client: &Client<Retried>) -> http::Response<impl Sized + use<>> {
    send(client, raw()).await
}

async fn send(
    client: &Client<Retried>,
    request: Request<Bytes>,
) -> http::Response<impl Sized + use<>> {
    let (creation, request) = RawCreation::begin(client.config(), request);
    let result = client.service().clone().oneshot(request).await;
    creation.unwrap().end(&result);
    result.unwrap()
}

async fn body_of(request: Req) -> String {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_stays_and_what_is_not_is_killed() {
    let fake = Fake::default();
    let (client, tracker) = retried(&fake);
    let first = sent(&client).await;
    first.extensions().get::<Unclaimed>().unwrap().claim();
    drop((first, sent(&client).await));
    tracker.drain_within(LONG).await.unwrap();
    assert_eq!(fake.alive(), ["i1"]);
    let counts = client.config().creation_events().snapshot();
    assert_eq!((counts.started, counts.succeeded, counts.failed), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_is_found_and_adopted() {
    let fake = Fake::with([Fate::Lost]);
    let (client, tracker): (_, SandboxTracker) = retried(&fake);
    let response = sent(&client).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    response.extensions().get::<Unclaimed>().unwrap().claim();
    tracker.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive(), fake.world().created), (vec!["i1".to_owned()], 1));
    assert_eq!(tracker.snapshot().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_reported_with_all_its_attempts() {
    let fake = Fake::with([Fate::Full; 4]);
    let (client, _) = retried(&fake);
    assert_eq!(sent(&client).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let counts = client.config().creation_events().snapshot();
    assert_eq!((counts.started, counts.failed_attempts, counts.failed), (1, 4, 1));
}

#[tokio::test]
async fn what_is_not_understood_stays_and_marks_are_added() {
    let (creation, request) = RawCreation::begin::<Full<Bytes>>(&config(), raw());
    let creation = creation.unwrap();
    assert_eq!(request.extensions().get::<CallId>(), Some(&creation.call()));
    assert!(!request.headers().contains_key("content-length"), "it is longer now");
    let owner = config().owner_name().clone();
    let marks = format!(
        r#""metadata":{{"sandtower_attempt":"1","sandtower_call":"{}","sandtower_owner":"{owner}"}}"#,
        creation.call()
    );
    let expected = format!(r#"{{"new":{{"b":1.0}},"templateID":"base",{marks}}}"#);
    assert_eq!(body_of(request).await, expected);
}

#[tokio::test]
async fn calls_with_one_key_are_the_same_to_the_byte() {
    let config = config();
    let begin = |key| RawCreation::begin::<Full<Bytes>>(&config, keyed(key));
    let ((one, first), (again, second), (other, _)) = (begin("k-1"), begin("k-1"), begin("k-2"));
    let call = |creation: &Option<RawCreation>| creation.as_ref().unwrap().call();
    assert_eq!(call(&one), call(&again));
    assert_ne!(call(&one), call(&other));
    assert_eq!(first.headers()["idempotency-key"], "k-1");
    let (first, second) = (body_of(first).await, body_of(second).await);
    assert_eq!(first, second);
    assert!(!first.contains("sandtower_attempt"), "{first}");
}

#[tokio::test]
async fn what_cannot_be_tracked_is_returned_as_it_was() {
    for body in ["", "[]", r#"{"templateID":"a","metadata":{"sandtower_call":"theirs"}}"#] {
        let request = raw().map(|_| Bytes::from(body));
        let (creation, request) = RawCreation::begin::<Full<Bytes>>(&config(), request);
        assert!(creation.is_none());
        assert!(request.headers().contains_key("content-length"));
        assert_eq!(body_of(request).await, body);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_of_a_callers_key_is_never_an_orphan() {
    let fake = Fake::with([Fate::Created(std::time::Duration::from_secs(1)); 2]);
    let (client, tracker) = retried(&fake);
    drop(send(&client, keyed("k-1")).await);
    // Dropped when it is created and its response is not there yet.
    let (_creation, request) = RawCreation::begin::<Full<Bytes>>(client.config(), keyed("k-2"));
    let call = client.service().clone().oneshot(request);
    let half = std::time::Duration::from_millis(500);
    assert!(tokio::time::timeout(half, call).await.is_err());
    tracker.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), fake.world().listed), (2, 0));
}
