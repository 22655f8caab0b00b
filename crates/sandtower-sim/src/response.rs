//! Responses in E2B's forms.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IntoHeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;

/// Setting headers in one expression.
pub(crate) trait With {
    /// This response with a header; a value that is no header's is left out.
    fn with(self, name: impl IntoHeaderName, value: impl TryInto<HeaderValue>) -> Self;
}

impl With for Response<Body> {
    fn with(mut self, name: impl IntoHeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers_mut().insert(name, value);
        }
        self
    }
}

/// A response with this status.
pub(crate) fn of(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response
}

/// A response without a body.
pub(crate) fn empty(status: u16) -> Response<Body> {
    of(status, Body::empty())
}

/// A response in plain text.
pub(crate) fn text(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    of(status, Body::whole(text)).with(CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// A response in JSON.
pub(crate) fn json(status: u16, value: &impl Serialize) -> Response<Body> {
    json_text(status, to_json(value))
}

/// A value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    // Nothing that is sent has keys that are not strings, which alone would fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// A response in JSON that is written already.
pub(crate) fn json_text(status: u16, json: Bytes) -> Response<Body> {
    of(status, Body::whole(json)).with(CONTENT_TYPE, "application/json; charset=utf-8")
}

/// The simulator does not do this, though E2B does.
pub(crate) fn not_simulated(what: impl std::fmt::Display) -> ApiError {
    ApiError::new(501, format!("not simulated: {what}"))
}

/// An error of the control plane, or of envd's plain HTTP half: they look the same.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: u16,
    message: String,
    error_code: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), error_code: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// The same error with the code that programs tell it by.
    pub(crate) fn code(self, error_code: &'static str) -> Self {
        Self { error_code: Some(error_code), ..self }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({ "code": self.status, "message": self.message });
        if let Some(error_code) = self.error_code {
            json["error_code"] = error_code.into();
        }
        json
    }

    pub(crate) fn response(&self) -> Response<Body> {
        json(self.status, &self.json())
    }

    /// The error as envd's plain HTTP half sends it.
    pub(crate) fn envd_response(&self) -> Response<Body> {
        self.response().with(X_CONTENT_TYPE_OPTIONS, "nosniff")
    }
}
