//! Errors of the Connect protocol, and the two ways to send one.

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::envelope;
use crate::{body::Body, response};

const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// What requests may be packed in.
pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The codes that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    AlreadyExists,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unimplemented,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// An error of an RPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Error {
    code: Code,
    message: String,
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The answer of an RPC that is no stream: the error has an HTTP status.
    pub(super) fn unary(&self) -> Response<Body> {
        let mut answer = response::json(self.code.status(), self);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.code != Code::Unauthenticated {
            answer.headers_mut().insert(ACCEPT_ENCODING, GZIP);
        }
        answer
    }

    /// The answer of a stream that fails at once: a success to HTTP, the error is its last
    /// envelope.
    pub(super) fn in_stream(&self) -> Response<Body> {
        let mut answer = stream(Body::whole(envelope::last(Some(self))));
        // Who a request is from is looked at before what it is.
        if self.code == Code::Unauthenticated {
            answer.headers_mut().remove(CONNECT_ACCEPT_ENCODING);
        }
        answer
    }
}

/// A stream with one message, which has succeeded.
pub(super) fn only(message: &impl Serialize) -> Response<Body> {
    let mut bytes = bytes::BytesMut::from(&envelope::message(message)[..]);
    bytes.extend_from_slice(&envelope::last(None));
    stream(Body::whole(bytes.freeze()))
}

/// The head of a stream.
pub(super) fn stream(body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let content_type = HeaderValue::from_static("application/connect+json");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer.headers_mut().insert(CONNECT_ACCEPT_ENCODING, GZIP);
    answer
}
