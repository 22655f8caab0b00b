//! What each response of E2B means: operation and verdict from its bytes, through the interpreter and the
//! classifier as in a stack.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandtower_core::{Advice, Allowance, BoxError, Classify, Effect, HasInfo, Verdict, judge};
use sandtower_e2b::{E2bClassify, E2bInterpret, Sandbox};
use sandtower_http::{InterpretLayer, Interpreted};
use tower::{Layer, ServiceExt, service_fn};

const TABLE: &str = include_str!("fixtures/responses.txt");

const CREATED: &str = r#"{"templateID":"t","sandboxID":"i0abc","envdAccessToken":"tok_secret"}"#;
const RATE: &str = r#"{"code":429,"message":"Rate limit exceeded"}"#;
const SLOTS: &str = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
const FULL: &str = r#"{"code":503,"message":"m","error_code":"sandbox_capacity_unavailable"}"#;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A request for the operation of this name.
fn request(operation: &str) -> Request<()> {
    let (method, path, port) = match operation {
        "sandbox_create" => ("POST", "/v2/sandboxes", ""),
        "sandbox_connect" => ("POST", "/v2/sandboxes/i0/connect", ""),
        "sandbox_info" => ("GET", "/sandboxes/i0", ""),
        "sandbox_kill" => ("DELETE", "/sandboxes/i0", ""),
        "sandbox_pause" => ("POST", "/sandboxes/i0/pause", ""),
        "sandbox_snapshot" => ("POST", "/sandboxes/i0/snapshots", ""),
        "template_build" => ("POST", "/v3/templates", ""),
        "health" => ("GET", "/health", ""),
        "envd_health" => ("GET", "/health", "49983"),
        "file_read" => ("GET", "/files?path=%2Fa", "49983"),
        "file_write" => ("POST", "/files?path=%2Fa", "49983"),
        "file_stat" => ("POST", "/filesystem.Filesystem/Stat", "49983"),
        "process_start" => ("POST", "/process.Process/Start", "49983"),
        "code_execute" => ("POST", "/execute", "49999"),
        "sandbox_traffic" => ("POST", "/buy", "3000"),
        other => panic!("the table has `{other}`"),
    };
    let mut request = Request::builder().method(method).uri(path);
    if !port.is_empty() {
        request = request.header("e2b-sandbox-id", "i0").header("e2b-sandbox-port", port);
    }
    request.body(()).unwrap()
}

/// A response to a request for `operation`, through the interpreter.
async fn respond(
    operation: &str,
    status: u16,
    fields: Fields<'_>,
    body: &str,
) -> Response<Interpreted<Full<Bytes>>> {
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        ready(Ok::<_, Infallible>(response.body(Full::from(body.to_owned())).unwrap()))
    });
    let service = InterpretLayer::new(E2bInterpret::default()).layer(inner);
    service.oneshot(request(operation)).await.unwrap()
}

async fn verdict(operation: &str, status: u16, fields: Fields<'_>, body: &str) -> Verdict {
    let response = respond(operation, status, fields, body).await;
    let by = E2bClassify.classify(&request(operation));
    assert_eq!(by.info().operation.name(), operation);
    let verdict = judge(&by, Ok::<_, &BoxError>(&response));
    let read = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read, body, "the caller still gets the whole body");
    verdict
}

#[tokio::test]
async fn every_row_of_the_table_holds() {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let columns: Vec<&str> = row.splitn(4, '|').map(str::trim).collect();
        let [operation, status, meaning, body] = columns[..] else { panic!("not a row: {row}") };
        let seen = verdict(operation, status.parse().unwrap(), &[], body).await;
        let (outcome, effect) = meaning.split_once(", ").unwrap_or((meaning, ""));
        assert_eq!(seen.outcome.label(), outcome, "{row}");
        match effect {
            "none" => assert_eq!(seen.effect, Effect::None, "{row}"),
            "maybe" => assert_eq!(seen.effect, Effect::Maybe, "{row}"),
            _ => {}
        }
        count += 1;
    }
    assert!(count > 50, "the table is truncated: {count} rows");
}

#[tokio::test]
async fn a_429_has_its_retry_after_and_remaining_quota() {
    let fields = [
        ("ratelimit-limit", "5"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "3"),
        ("retry-after", "1"),
    ];
    let allowance = Allowance::new(5, 0, Duration::from_secs(3));
    assert_eq!(
        verdict("sandbox_create", 429, &fields, RATE).await,
        Verdict::throttled().retry_after(Duration::from_secs(1)).allowance(allowance),
    );
    assert_eq!(
        verdict("sandbox_create", 429, &fields[..3], SLOTS).await,
        Verdict::exhausted().allowance(allowance),
    );
    assert_eq!(
        verdict("sandbox_create", 201, &fields[..3], CREATED).await,
        Verdict::success().allowance(allowance),
    );
}

#[tokio::test]
async fn the_servers_advice_on_retrying_is_kept() {
    let fields = [("should-retry", "false"), ("retry-after", "2")];
    assert_eq!(
        verdict("sandbox_create", 503, &fields, FULL).await,
        Verdict::transient(Effect::None).advice(Advice::Stop).retry_after(Duration::from_secs(2)),
    );
}

#[tokio::test]
async fn a_compressed_body_is_not_read() {
    let fields = [("content-encoding", "gzip")];
    assert_eq!(verdict("sandbox_create", 429, &fields, "zip").await, Verdict::throttled());
    assert_eq!(verdict("sandbox_create", 201, &fields, "zip").await, Verdict::success());
}

#[tokio::test]
async fn a_created_sandbox_is_an_extension_for_the_layers_above() {
    let created = respond("sandbox_create", 201, &[], CREATED).await;
    let sandbox = created.extensions().get::<Sandbox>().unwrap();
    assert_eq!(sandbox.id().as_str(), "i0abc");
    assert_eq!(sandbox.access_token().unwrap().expose(), "tok_secret");
    assert!(!format!("{created:?}").contains("tok_secret"));
}
