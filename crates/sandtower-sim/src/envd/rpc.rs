//! What all RPCs have in common: reading the request, and the two forms of a response.

use std::time::Duration;

use base64::Engine as _;
use http::header;
use serde::de::DeserializeOwned;

use super::connect::{Code, Error};
use super::*;
use crate::body::{Reserve, Reserved};
use crate::response::With as _;
use crate::{files, json};

const UNARY: &str = "application/json";
const STREAM_ENCODING: &str = "connect-content-encoding";
const STREAM: &str = "application/connect+json";
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(90);
const DEFAULT_USER: &str = "user";

/// The error of a request that is in another format, if it is.
pub(super) fn wrong_format(request: &Received, streams: bool) -> Option<Response<Body>> {
    let expected = if streams { STREAM } else { UNARY };
    let given = request.parts.headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').next()).map(str::trim);
    if given == Some(expected) {
        return None;
    }
    let accepted =
        if streams { STREAM } else { "application/json, application/json; charset=utf-8" };
    Some(response::empty(415).with("accept-post", accepted))
}

/// The message of an RPC that is no stream.
pub(super) fn message<T: DeserializeOwned>(request: &Received) -> Result<T, Error> {
    packed(&request.parts.headers, header::CONTENT_ENCODING.as_str())?;
    let body = whole(request)?;
    // An empty body is an empty message.
    parse(if body.is_empty() { b"{}" } else { body })
}

/// The only message of a stream's request.
pub(super) fn first<T: DeserializeOwned>(request: &Received) -> Result<T, Error> {
    let packed = packed(&request.parts.headers, STREAM_ENCODING)?;
    parse(&envelope::first(whole(request)?, MAX_BODY, packed)?)
}

/// All messages of a stream's request, and the memory that they hold until dropped.
pub(super) fn all<T: DeserializeOwned>(
    request: &Received,
    reserve: &Reserve,
) -> Result<(Vec<T>, Reserved), Error> {
    let packed = packed(&request.parts.headers, STREAM_ENCODING)?;
    let messages = envelope::all(whole(request)?, MAX_BODY, packed)?;
    let mut room = reserve.begin();
    if !room.take(messages.iter().map(Bytes::len).sum()) {
        return Err(Error::new(Code::RESOURCE_EXHAUSTED, "too many messages are being read"));
    }
    let messages: Result<_, _> = messages.iter().map(|message| parse(message)).collect();
    Ok((messages?, room))
}

fn whole(request: &Received) -> Result<&Bytes, Error> {
    request.body.as_ref().map_err(|unreadable| match unreadable {
        Unreadable::TooLong => envelope::too_large(MAX_BODY + 1, MAX_BODY),
        Unreadable::Malformed => envelope::not_gzip(),
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    json::object(bytes)
        .map_err(|error| Error::new(Code::INVALID_ARGUMENT, format!("unmarshal message: {error}")))
}

/// Whether a header says gzip; an error if it says something else that is not known.
fn packed(headers: &HeaderMap, name: &str) -> Result<bool, Error> {
    let encoding = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    match encoding {
        b"" | b"identity" => Ok(false),
        encoding if encoding.eq_ignore_ascii_case(b"gzip") => Ok(true),
        encoding => {
            let encoding = String::from_utf8_lossy(encoding);
            let message =
                format!("unknown compression \"{encoding}\": supported encodings are gzip");
            Err(Error::new(Code::UNIMPLEMENTED, message))
        }
    }
}

/// The response of an RPC that is no stream; packed if the request takes that.
pub(super) fn respond(request: &Received, outcome: Result<Value, Error>) -> Response<Body> {
    let message = match outcome {
        Ok(message) => response::to_json(&message),
        Err(error) => return error.unary(),
    };
    let accepted = request.parts.headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    let packs = accepted.split(',').any(|coding| coding.trim() == "gzip");
    let message = if packs { gzip::pack(&message) } else { message };
    let response = response::json_text(200, message)
        .with(header::CONTENT_TYPE, UNARY)
        .with(header::ACCEPT_ENCODING, "gzip");
    if packs { response.with(header::CONTENT_ENCODING, "gzip") } else { response }
}

/// A message with a list, which is left out if it is empty.
pub(super) fn list(name: &str, items: Vec<Value>) -> Value {
    if items.is_empty() { serde_json::json!({}) } else { serde_json::json!({ name: items }) }
}

/// How long an RPC may take, and how often its stream says that it still goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) deadline: Option<Instant>,
    pub(super) keepalive: Duration,
}

impl Times {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let number = |name: &str| -> Result<Option<u64>, Error> {
            let Some(value) = headers.get(name) else { return Ok(None) };
            let digits = value.to_str().ok().filter(|text| text.len() <= 10);
            let parsed = digits.and_then(|text| text.parse().ok());
            parsed.map(Some).ok_or_else(|| {
                Error::new(Code::INVALID_ARGUMENT, format!("protocol error: invalid {name}"))
            })
        };
        let deadline = number("connect-timeout-ms")?;
        let keepalive = number("keepalive-ping-interval")?.filter(|seconds| *seconds > 0);
        Ok(Self {
            deadline: deadline.map(|millis| clock::now() + Duration::from_millis(millis)),
            keepalive: keepalive.map_or(DEFAULT_KEEPALIVE, Duration::from_secs),
        })
    }

    /// Done when the time is over, if it ever is.
    pub(super) async fn over(self) {
        over(self.deadline).await;
    }

    /// The outcome of a call, which is an error when the time is over.
    pub(super) async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        select! {
            biased;
            outcome = work => outcome,
            () = self.over() => Err(deadline_exceeded()),
        }
    }
}

/// Done at a deadline, if there is one.
pub(super) async fn over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pub(super) fn deadline_exceeded() -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, "context deadline exceeded")
}

/// The user that a request names in its basic authorization.
pub(super) fn user(headers: &HeaderMap) -> Result<String, Error> {
    let named = headers.get(header::AUTHORIZATION).map(|value| {
        let encoded = value.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = encoded.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let pair = String::from_utf8_lossy(&decoded).into_owned();
        pair.split(':').next().unwrap_or_default().to_owned()
    });
    let name = named.unwrap_or_else(|| DEFAULT_USER.to_owned());
    if files::is_user(&name) {
        return Ok(name);
    }
    Err(Error::new(Code::UNAUTHENTICATED, format!("invalid username: '{name}'")))
}

/// A path as a user means it: relative ones begin at home.
pub(super) fn resolve(path: &str, user: &str) -> String {
    let home = files::home(user);
    match path.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => format!("{home}{rest}"),
        _ if path.starts_with('/') => path.to_owned(),
        _ => format!("{home}/{path}"),
    }
}
