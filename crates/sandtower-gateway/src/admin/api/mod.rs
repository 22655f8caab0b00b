//! The API: what pages show, as JSON, and what their buttons do.

pub(super) mod act;
pub(super) mod limits;
pub(super) mod probes;
pub(super) mod read;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::guard::Why;
use super::keys::without_values;

/// Why a request has no other response.
#[derive(Debug)]
pub(super) struct Failed {
    status: StatusCode,
    why: String,
}

impl Failed {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    pub(super) fn not_found(why: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, why)
    }

    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, why)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.why}))).into_response();
        response.extensions_mut().insert(Why(self.why));
        response
    }
}

/// The body of a request, which must be JSON and be marked so: a form of a page from elsewhere cannot.
pub(super) fn body<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Failed> {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(b"application/json") {
        let right = "the body must be JSON, with `Content-Type: application/json`";
        return Err(Failed::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, right));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let why = without_values(&error.inner().to_string());
        Failed::invalid(format!("`{}`: {why}", error.path()))
    })
}
