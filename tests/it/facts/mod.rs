//! What every answer of E2B does to each layer, row by row of what is known of E2B, by the engines
//! that the stack is made of.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

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
async fn every_answer_does_to_each_layer_what_the_table_says() {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows {
        let (told, expected) = row.split_once(" => ").unwrap_or((row, ""));
        let (info, verdict) = verdict(told).await;
        let seen = [
            meaning(&verdict),
            layers::retry(&info, &verdict),
            layers::breaker(&info, &verdict).await,
            layers::rate_limit(&info, &verdict).await,
            layers::admission(&info, &verdict, told.contains("silence")).await,
        ];
        let seen = seen.join(" | ");
        if seen != expected {
            wrong.push(format!("{told} => {seen}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "in truth:\n{}", wrong.join("\n"));
    assert!(count > 60, "the table is cut: {count} rows");
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

/// What a row tells: `operation | status, fields | body`, or `operation | what went wrong`.
async fn verdict(row: &str) -> (RequestInfo, Verdict) {
    let columns: Vec<&str> = row.splitn(3, '|').map(str::trim).collect();
    let (operation, said) = (columns[0], columns[1]);
    let body = columns.get(2).copied().unwrap_or_default().to_owned();
    let answer = match said.split_once(',').unwrap_or((said, "")) {
        (status, fields) if status.parse::<u16>().is_ok() => {
            let mut answer = Response::builder().status(status.parse::<u16>().unwrap());
            for field in fields.split(',').filter(|field| !field.is_empty()) {
                let (name, value) = field.split_once(':').unwrap();
                answer = answer.header(name.trim(), value.trim());
            }
            Some(Ok(answer.body(Full::<Bytes>::from(body)).unwrap()))
        }
        ("silence", _) => None,
        // What a connector says that knows it made no connection.
        ("refused", _) => {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            Some(Err(ClassifiedError::new(Verdict::transient(Effect::None), refused).into()))
        }
        (trouble, _) => Some(Err(io::Error::from(kind(trouble)).into())),
    };
    let judge_of = E2bClassify.classify(&request(operation));
    assert_eq!(judge_of.info().operation.name(), operation, "{row}");
    let result: Result<_, BoxError> = match answer {
        Some(Ok(answer)) => {
            let inner = service_fn(|_| ready(Ok::<_, Infallible>(answer.clone())));
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
    (*judge_of.info(), judge(&judge_of, result.as_ref()))
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
