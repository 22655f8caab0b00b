//! A small client for a simulator without sockets.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use sandtower_sim::{ConnectionError, Sim};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const KEY: &str = "e2b_0000000000000000000000000000000000000000";

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON; null if it is not.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) async fn try_send(
    sim: &Sim,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ConnectionError> {
    let (parts, body) = sim.clone().oneshot(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

pub(crate) async fn send(sim: &Sim, request: Request<Full<Bytes>>) -> Answer {
    try_send(sim, request).await.unwrap()
}

/// A request to the control plane.
pub(crate) fn control(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("x-api-key", KEY);
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn creation(body: &Value) -> Request<Full<Bytes>> {
    control("POST", "/v2/sandboxes", body.to_string())
}

pub(crate) fn base() -> Request<Full<Bytes>> {
    creation(&json!({"templateID": "base"}))
}

/// A sandbox that was created.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Created {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let json = answer.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self { id: text("sandboxID"), token: text("envdAccessToken") }
    }

    pub(crate) async fn new(sim: &Sim) -> Self {
        Self::of(&send(sim, base()).await)
    }

    /// A request to the sandbox's envd.
    pub(crate) fn envd(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("e2b-sandbox-id", &self.id).header("e2b-sandbox-port", 49983);
        request.header("x-access-token", &self.token)
    }

    /// The start of a command line, as the official SDKs send it.
    pub(crate) fn start(&self, script: &str) -> Request<Full<Bytes>> {
        self.start_builder().body(Full::new(start_body(script))).unwrap()
    }

    pub(crate) fn start_builder(&self) -> http::request::Builder {
        let request = self.envd("POST", "/process.Process/Start");
        let request = request.header("content-type", "application/connect+json");
        request.header("connect-protocol-version", "1")
    }

    pub(crate) fn kill(&self) -> Request<Full<Bytes>> {
        control("DELETE", &format!("/sandboxes/{}", self.id), "")
    }
}

pub(crate) fn start_body(script: &str) -> Bytes {
    let process = json!({"cmd": "/bin/bash", "args": ["-l", "-c", script]});
    envelope(&json!({"process": process, "stdin": false}).to_string())
}

pub(crate) fn envelope(message: &str) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message.as_bytes());
    bytes.into()
}

/// The flags and the message of each envelope.
pub(crate) fn envelopes(mut body: &[u8]) -> Vec<(u8, Value)> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
        found.push((body[0], serde_json::from_slice(&body[5..5 + length]).unwrap()));
        body = &body[5 + length..];
    }
    found
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
