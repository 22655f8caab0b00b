//! How requests to E2B are put together.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header, request};
use http_body_util::Full;
use sandtower_core::BoxError;

use crate::{
    Call, Config, Error, Sandbox,
    route::{ENVD_PORT, SANDBOX_ID, SANDBOX_PORT},
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("sandtower/", env!("CARGO_PKG_VERSION")));

/// A request to the control plane; a body is JSON.
pub(crate) fn control(
    config: &Config,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let mut request = Request::builder()
        .method(method)
        .uri(config.api_uri(path)?)
        .header(API_KEY, config.key())
        .header(header::USER_AGENT, USER_AGENT);
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::new(body))?)
}

/// The head of a request to the envd of `sandbox`. It never carries the API key: whatever runs in
/// the sandbox could read it.
pub(crate) fn envd(
    config: &Config,
    sandbox: &Sandbox,
    method: Method,
    path: &str,
) -> Result<request::Builder, BoxError> {
    let mut request = Request::builder()
        .method(method)
        .uri(config.envd_uri(sandbox, path)?)
        .header(SANDBOX_ID, sandbox.id().as_str())
        .header(SANDBOX_PORT, ENVD_PORT)
        .header(header::USER_AGENT, USER_AGENT);
    if let Some(token) = sandbox.access_token() {
        let mut token = HeaderValue::from_str(token.expose())?;
        token.set_sensitive(true);
        request = request.header(ACCESS_TOKEN, token);
    }
    Ok(request)
}

/// What of a request its answer must not be quoted with.
pub(crate) fn secrets<B>(request: &Request<B>) -> [Option<HeaderValue>; 2] {
    [API_KEY, ACCESS_TOKEN].map(|name| request.headers().get(name).cloned())
}

/// The error of a request that could not be put together.
pub(crate) fn failed(call: &Call, source: impl Into<BoxError>) -> Error {
    Error::Request { call: call.clone(), source: source.into() }
}
