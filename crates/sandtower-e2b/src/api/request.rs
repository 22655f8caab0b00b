//! Builds requests to E2B.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header, request};
use http_body_util::Full;
use sandtower_core::BoxError;
use serde::Serialize;

use crate::{
    Call, Config, Error, Sandbox,
    api::route::{ENVD_PORT, SANDBOX_ID, SANDBOX_PORT},
    envelope,
};

pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const TRAFFIC_TOKEN: HeaderName = HeaderName::from_static("e2b-traffic-access-token");
const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const KEEPALIVE: HeaderName = HeaderName::from_static("keepalive-ping-interval");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("sandtower/", env!("CARGO_PKG_VERSION")));

/// The keepalive interval that is requested of envd, in seconds. The official SDKs use the same; load
/// balancers close connections that are silent for a minute.
const KEEPALIVE_SECONDS: u16 = 50;

/// The most digits that Connect allows in a timeout: 10, which is 115 days.
const LONGEST_TIMEOUT_MS: u128 = 9_999_999_999;

/// A request to the control plane, with a JSON body.
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

/// A request to `port` of `sandbox`. It never carries the API key: any process in the sandbox could
/// read it.
pub(crate) fn inside(
    config: &Config,
    sandbox: &Sandbox,
    port: u16,
    method: Method,
    path: &str,
) -> Result<request::Builder, BoxError> {
    let mut request = Request::builder()
        .method(method)
        .uri(config.sandbox_uri(sandbox, port, path)?)
        .header(SANDBOX_ID, sandbox.id().as_str())
        .header(SANDBOX_PORT, port)
        .header(header::USER_AGENT, USER_AGENT);
    for (name, token) in
        [(ACCESS_TOKEN, sandbox.access_token()), (TRAFFIC_TOKEN, sandbox.traffic_token())]
    {
        let Some(token) = token else { continue };
        let mut token = HeaderValue::from_str(token.expose())?;
        token.set_sensitive(true);
        request = request.header(name, token);
    }
    Ok(request)
}

/// A remote call of envd whose response is one message.
pub(crate) fn unary(
    config: &Config,
    sandbox: &Sandbox,
    path: &str,
    user: Option<&str>,
    message: &impl Serialize,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let request = inside(config, sandbox, ENVD_PORT, Method::POST, path)?
        .header(header::CONTENT_TYPE, "application/json")
        .header(CONNECT_VERSION, "1");
    Ok(as_user(request, user).body(Full::new(serde_json::to_vec(message)?.into()))?)
}

/// A remote call of envd whose response is a stream of messages, for at most `timeout`.
pub(crate) fn stream(
    config: &Config,
    sandbox: &Sandbox,
    path: &str,
    user: Option<&str>,
    timeout: Option<Duration>,
    message: &impl Serialize,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let body = envelope::encode(&serde_json::to_vec(message)?)?;
    let mut request = inside(config, sandbox, ENVD_PORT, Method::POST, path)?
        .header(header::CONTENT_TYPE, "application/connect+json")
        .header(CONNECT_VERSION, "1")
        .header(KEEPALIVE, KEEPALIVE_SECONDS);
    if let Some(timeout) = timeout {
        request = request.header(CONNECT_TIMEOUT, milliseconds(timeout));
    }
    Ok(as_user(request, user).body(Full::new(body))?)
}

/// The user name is all that envd requires.
fn as_user(request: request::Builder, user: Option<&str>) -> request::Builder {
    match user {
        Some(user) => {
            let user = STANDARD.encode(format!("{user}:"));
            request.header(header::AUTHORIZATION, format!("Basic {user}"))
        }
        None => request,
    }
}

/// Rounded up: a command never gets less time than requested.
fn milliseconds(timeout: Duration) -> HeaderValue {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(LONGEST_TIMEOUT_MS);
    HeaderValue::from(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

/// The parts of a request that errors must not quote.
pub(crate) fn secrets<B>(request: &Request<B>) -> [Option<HeaderValue>; 3] {
    [API_KEY, ACCESS_TOKEN, TRAFFIC_TOKEN].map(|name| request.headers().get(name).cloned())
}

/// The error of a request that could not be built.
pub(crate) fn failed(call: &Call, source: impl Into<BoxError>) -> Error {
    Error::Request { call: call.clone(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_and_fits_ten_digits() {
        assert_eq!(milliseconds(Duration::from_micros(1_500)), "2");
        assert_eq!(milliseconds(Duration::from_secs(120)), "120000");
        assert_eq!(milliseconds(Duration::MAX), "9999999999");
    }
}
