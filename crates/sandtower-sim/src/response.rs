//! Responses in E2B's forms.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A response in plain text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// A response in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json_text(status, to_json(value))
}

/// A value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    // Nothing that is sent has keys that are not strings, which alone would fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// A response in JSON that is written already.
pub(crate) fn json_text(status: StatusCode, json: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The simulator does not do this, though E2B does.
pub(crate) fn not_simulated(what: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, format!("not simulated: {what}"))
}

/// An error of the control plane, or of envd's plain HTTP half: they look the same.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    error_code: Option<&'static str>,
}

#[derive(Serialize)]
struct ApiErrorBody<'a> {
    code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), error_code: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same error with the code that programs tell it by.
    pub(crate) fn code(self, error_code: &'static str) -> Self {
        Self { error_code: Some(error_code), ..self }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        json(self.status, self)
    }

    /// The error as envd's plain HTTP half sends it.
    pub(crate) fn envd_response(&self) -> Response<Body> {
        let mut response = self.response();
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl Serialize for ApiError {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { status, message, error_code } = self;
        ApiErrorBody { code: status.as_u16(), message, error_code: *error_code }.serialize(to)
    }
}
