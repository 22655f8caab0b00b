//! What every response of E2B does to each layer, row by row of the table of facts about E2B, by the engines
//! of the stack.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod layers;

use std::convert::Infallible;
use std::future::ready;
use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower::core::{
    About, BoxError, ClassifiedError, Classify, Effect, HasInfo, RequestInfo, Verdict, judge,
};
use sandtower::e2b::{E2bClassify, E2bInterpret};
use sandtower::http::InterpretLayer;
use sandtower::timeout::{Limits, TimeoutLayer};
use tower::{Layer, ServiceExt, service_fn};

const TABLE: &str = include_str!("table.txt");

#[tokio::test(start_paused = true)]
async fn every_response_affects_each_layer_as_in_the_table() {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows {
        let (cause, expected) = row.split_once(" => ").unwrap_or((row, ""));
        let (info, verdict) = verdict(cause).await;
        let seen = [
            meaning(&verdict),
            layers::retry(&info, &verdict),
            layers::breaker(&info, &verdict).await,
            layers::rate_limit(&info, &verdict).await,
            layers::admission(&info, &verdict, cause.contains("silence")).await,
        ];
        let seen = seen.join(" | ");
        if seen != expected {
            wrong.push(format!("{cause} => {seen}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "actually:\n{}", wrong.join("\n"));
    assert!(count > 60, "the table is truncated: {count} rows");
}

fn meaning(verdict: &Verdict) -> String {
    let effect = match (verdict.is_success(), verdict.effect) {
        (true, _) => "",
        (_, Effect::None) => ", none",
        (_, Effect::Maybe) => ", maybe",
    };
    let about = match verdict.about {
        About::One if !verdict.is_success() => ", of one",
        _ => "",
    };
    format!("{}{effect}{about}", verdict.outcome)
}

/// Parses `operation | status, fields | body`, or `operation | what went wrong`.
async fn verdict(row: &str) -> (RequestInfo, Verdict) {
    let columns: Vec<&str> = row.splitn(3, '|').map(str::trim).collect();
    let (operation, said) = (columns[0], columns[1]);
    let body = columns.get(2).copied().unwrap_or_default().to_owned();
    let response = match said.split_once(',').unwrap_or((said, "")) {
        (status, fields) if status.parse::<u16>().is_ok() => {
            let mut response = Response::builder().status(status.parse::<u16>().unwrap());
            for field in fields.split(',').filter(|field| !field.is_empty()) {
                let (name, value) = field.split_once(':').unwrap();
                response = response.header(name.trim(), value.trim());
            }
            Some(Ok(response.body(Full::<Bytes>::from(body)).unwrap()))
        }
        ("silence", _) => None,
        // The error of a connector that knows that it did not connect.
        ("unreachable", _) => {
            let unreachable = io::Error::from(io::ErrorKind::ConnectionRefused);
            Some(Err(ClassifiedError::new(Verdict::transient(Effect::None), unreachable).into()))
        }
        (trouble, _) => Some(Err(io::Error::from(kind(trouble)).into())),
    };
    let classifier = E2bClassify.classify(&request(operation));
    assert_eq!(classifier.info().operation.name(), operation, "{row}");
    let result: Result<_, BoxError> = match response {
        Some(Ok(response)) => {
            let inner = service_fn(|_| ready(Ok::<_, Infallible>(response.clone())));
            let interpreter = InterpretLayer::new(E2bInterpret::default()).layer(inner);
            interpreter.oneshot(request(operation)).await.map_err(Into::into)
        }
        Some(Err(error)) => Err(error),
        None => {
            let inner = service_fn(|_: Request<()>| {
                std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
            });
            let bounded = TimeoutLayer::new(Limits::all(std::time::Duration::from_secs(60)));
            let error = bounded.layer(inner).oneshot(request(operation)).await.unwrap_err();
            Err(error)
        }
    };
    (*classifier.info(), judge(&classifier, result.as_ref()))
}

fn kind(trouble: &str) -> io::ErrorKind {
    match trouble {
        "reset" => io::ErrorKind::ConnectionReset,
        "closed" => io::ErrorKind::UnexpectedEof,
        other => panic!("the table has `{other}`"),
    }
}

fn request(operation: &str) -> Request<()> {
    let (method, path, port) = match operation {
        "sandbox_create" => ("POST", "/v2/sandboxes", ""),
        "sandbox_connect" => ("POST", "/v2/sandboxes/i0/connect", ""),
        "sandbox_resume" => ("POST", "/sandboxes/i0/resume", ""),
        "sandbox_list" => ("GET", "/v2/sandboxes", ""),
        "sandbox_info" => ("GET", "/sandboxes/i0", ""),
        "sandbox_kill" => ("DELETE", "/sandboxes/i0", ""),
        "sandbox_pause" => ("POST", "/sandboxes/i0/pause", ""),
        "sandbox_timeout" => ("POST", "/sandboxes/i0/timeout", ""),
        "sandbox_fork" => ("POST", "/sandboxes/i0/fork", ""),
        "sandbox_snapshot" => ("POST", "/sandboxes/i0/snapshots", ""),
        "template_build" => ("POST", "/v3/templates", ""),
        "health" => ("GET", "/health", ""),
        "envd_health" => ("GET", "/health", "49983"),
        "file_read" => ("GET", "/files?path=%2Fa", "49983"),
        "file_write" => ("POST", "/files?path=%2Fa", "49983"),
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
