//! Errors of the Connect protocol, and the two ways to send one.

use serde_json::json;

use super::*;
use crate::response::With as _;

const CONNECT_ACCEPT_ENCODING: &str = "connect-accept-encoding";

/// A code of Connect's, with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(&'static str, u16);

impl Code {
    pub(super) const ALREADY_EXISTS: Self = Self("already_exists", 409);
    pub(super) const DEADLINE_EXCEEDED: Self = Self("deadline_exceeded", 504);
    pub(super) const INTERNAL: Self = Self("internal", 500);
    pub(super) const INVALID_ARGUMENT: Self = Self("invalid_argument", 400);
    pub(super) const NOT_FOUND: Self = Self("not_found", 404);
    pub(super) const RESOURCE_EXHAUSTED: Self = Self("resource_exhausted", 429);
    pub(super) const UNAUTHENTICATED: Self = Self("unauthenticated", 401);
    pub(super) const UNIMPLEMENTED: Self = Self("unimplemented", 501);
}

/// An error of an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    code: Code,
    message: String,
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "code": self.code.0, "message": self.message })
    }

    /// The response of an RPC that is no stream: the error has an HTTP status.
    pub(super) fn unary(&self) -> Response<Body> {
        let response = response::json(self.code.1, &self.json());
        let response = response.with(CONTENT_TYPE, "application/json");
        // The user of a request is looked at before its content.
        let known = self.code != Code::UNAUTHENTICATED;
        if known { response.with(ACCEPT_ENCODING, "gzip") } else { response }
    }

    /// The response of a stream that fails at once: a success to HTTP, the error is its last
    /// envelope.
    pub(super) fn in_stream(&self) -> Response<Body> {
        let mut response = stream(Body::whole(envelope::last(Some(self))));
        if self.code == Code::UNAUTHENTICATED {
            response.headers_mut().remove(CONNECT_ACCEPT_ENCODING);
        }
        response
    }
}

/// The head of a stream.
pub(super) fn stream(body: Body) -> Response<Body> {
    Response::new(body)
        .with(CONTENT_TYPE, "application/connect+json")
        .with(CONNECT_ACCEPT_ENCODING, "gzip")
}
