//! What all RPCs have in common: reading the request, and the two forms of an answer.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{self, Instant};

use super::{
    MAX_BODY,
    connect::{Code, Error},
    envelope,
};
use crate::{answer, body::Body, clock, files, json, service::Received};

const UNARY: &str = "application/json";
const STREAM: &str = "application/connect+json";
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(90);
const DEFAULT_USER: &str = "user";

/// The refusal of a request that is in another format, if it is.
pub(super) fn wrong_format(request: &Received, streams: bool) -> Option<Response<Body>> {
    let expected = if streams { STREAM } else { UNARY };
    let given = request.parts.headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').next()).map(str::trim);
    if given == Some(expected) {
        return None;
    }
    let mut answer = answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let accepted = HeaderValue::from_static(expected);
    answer.headers_mut().insert(HeaderName::from_static("accept-post"), accepted);
    Some(answer)
}

/// The message of an RPC that is no stream.
pub(super) fn message<T: DeserializeOwned>(request: &Received) -> Result<T, Error> {
    encoding(&request.parts.headers, header::CONTENT_ENCODING.as_str())?;
    let body = whole(request)?;
    // An empty body is an empty message.
    parse(if body.is_empty() { b"{}" } else { body })
}

/// The only message of a stream's request.
pub(super) fn first<T: DeserializeOwned>(request: &Received) -> Result<T, Error> {
    encoding(&request.parts.headers, "connect-content-encoding")?;
    parse(&envelope::first(whole(request)?, MAX_BODY)?)
}

/// All messages of a stream's request.
pub(super) fn all<T: DeserializeOwned>(request: &Received) -> Result<Vec<T>, Error> {
    encoding(&request.parts.headers, "connect-content-encoding")?;
    let messages = envelope::all(whole(request)?, MAX_BODY)?;
    messages.iter().map(|message| parse(message)).collect()
}

fn whole(request: &Received) -> Result<&Bytes, Error> {
    request.body.as_ref().ok_or_else(|| envelope::too_large(MAX_BODY + 1, MAX_BODY))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    json::object(bytes)
        .map_err(|error| Error::new(Code::InvalidArgument, format!("unmarshal message: {error}")))
}

fn encoding(headers: &HeaderMap, name: &str) -> Result<(), Error> {
    let Some(encoding) = headers.get(name).filter(|e| *e != "identity") else { return Ok(()) };
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let message = format!("unknown compression \"{encoding}\": supported encodings are identity");
    Err(Error::new(Code::Unimplemented, message))
}

/// The answer of an RPC that is no stream.
pub(super) fn answer<T: Serialize>(outcome: Result<T, Error>) -> Response<Body> {
    match outcome {
        Ok(message) => {
            let mut answer = answer::json(StatusCode::OK, &message);
            let content_type = HeaderValue::from_static(UNARY);
            answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
            answer
        }
        Err(error) => error.unary(),
    }
}

/// An answer without fields.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

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
                Error::new(Code::InvalidArgument, format!("protocol error: invalid {name}"))
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
        match self.deadline {
            Some(deadline) => time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

pub(super) fn deadline_exceeded() -> Error {
    Error::new(Code::DeadlineExceeded, "context deadline exceeded")
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
    Err(Error::new(Code::Unauthenticated, format!("invalid username: '{name}'")))
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
