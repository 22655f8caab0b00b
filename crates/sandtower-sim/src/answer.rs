//! Answers in the forms that E2B gives them.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

use crate::body::Body;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text.as_bytes()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, TEXT);
    answer
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json_text(status, to_json(value))
}

/// A value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    // Nothing that is sent has keys that are not strings, which alone would fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// An answer in JSON that is written already.
pub(crate) fn json_text(status: StatusCode, json: Bytes) -> Response<Body> {
    let mut answer = Response::new(Body::whole(json));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
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

    pub(crate) fn answer(&self) -> Response<Body> {
        let Self { status, message, error_code } = self;
        json(*status, &ApiErrorBody { code: status.as_u16(), message, error_code: *error_code })
    }

    /// The error as envd's plain HTTP half sends it.
    pub(crate) fn of_envd(&self) -> Response<Body> {
        let mut answer = self.answer();
        answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }
}
