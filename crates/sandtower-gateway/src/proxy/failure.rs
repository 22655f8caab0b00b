//! What the gateway responds by itself, in the words of the service: the official SDKs choose their
//! exceptions by them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sandtower::Message;
use sandtower::core::{BoxError, Reason, Rejection, find};
use sandtower::e2b::SandboxId;
use sandtower::http::TransportFault;
use sandtower::retry::RetriesExhausted;
use sandtower::timeout::Elapsed;
use serde_json::json;

use super::body::ResponseBody;
use super::headers::SHOULD_RETRY;

/// How the one who sent a request reads errors.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    /// The control plane's: `{"code":503,"message":".."}`.
    Control,
    /// Those of the way into a sandbox: the same with its id.
    Sandbox(SandboxId),
    /// Connect's: `{"code":"unavailable","message":".."}`.
    Connect,
}

impl Dialect {
    /// That of a request with these header fields into a sandbox.
    pub(crate) fn inside(id: &SandboxId, headers: &HeaderMap) -> Self {
        if is_connect(headers) { Self::Connect } else { Self::Sandbox(id.clone()) }
    }
}

/// Whether a request is one of Connect's.
fn is_connect(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    headers.contains_key("connect-protocol-version") || kind.starts_with(b"application/connect+")
}

/// Why there is no response from the service.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// One word for logs.
    pub(crate) reason: &'static str,
}

impl Failure {
    /// One of the request's own.
    pub(crate) fn of_request(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, reason: "invalid_request" }
    }

    /// One of the gateway's.
    pub(crate) fn unavailable(message: &str, reason: &'static str) -> Self {
        let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, message.to_owned());
        Self { status, message, retry_after: Some(Duration::from_secs(1)), reason }
    }

    /// What the error of a call means to who made it. Never a 502: the SDKs take that for a sandbox that is
    /// gone.
    pub(crate) fn of(error: &BoxError) -> Self {
        let exhausted = find::<RetriesExhausted>(&**error);
        if let Some(rejection) = find::<Rejection>(&**error) {
            return Self::rejected(rejection);
        }
        if find::<Elapsed>(&**error).is_some() || exhausted.is_some() {
            let message = String::from("E2B did not respond in time");
            let status = StatusCode::GATEWAY_TIMEOUT;
            return Self { status, message, retry_after: None, reason: "timeout" };
        }
        let (message, reason) = match TransportFault::of(&**error) {
            Some(TransportFault::RequestBody) => {
                let status = StatusCode::BAD_REQUEST;
                let message = String::from("the body of the request broke off");
                return Self { status, message, retry_after: None, reason: "request_body" };
            }
            Some(TransportFault::NotSent) => ("E2B cannot be reached", "not_connected"),
            Some(TransportFault::Exhausted { .. }) => {
                ("the gateway is out of resources; its operator has to look at it", "exhausted")
            }
            Some(TransportFault::UntrustedCertificate) => (
                "the certificate of E2B is not trusted; the operator of the gateway has to look at it",
                "untrusted_certificate",
            ),
            _ => ("the connection to E2B broke; the request may have been served", "broken"),
        };
        Self { retry_after: None, ..Self::unavailable(message, reason) }
    }

    fn rejected(rejection: &Rejection) -> Self {
        let status = match rejection.reason() {
            Reason::OverLimit { .. } | Reason::Throttled | Reason::Exhausted { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let message = Message::from(rejection);
        let retry_after = message.retry_after().or(rejection.retry_after());
        Self {
            status,
            message: message.as_str().to_owned(),
            retry_after,
            reason: rejection.reason().label(),
        }
    }

    /// The response, as `dialect` has it.
    pub(crate) fn response(&self, dialect: &Dialect) -> Response<ResponseBody> {
        let (status, message) = (self.status, &*self.message);
        let body = match dialect {
            Dialect::Control => json!({"code": status.as_u16(), "message": message}),
            Dialect::Sandbox(id) => {
                json!({"sandboxId": id.as_str(), "message": message, "code": status.as_u16()})
            }
            Dialect::Connect => json!({"code": connect_code(status), "message": message}),
        };
        let mut response = Response::new(ResponseBody::whole(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response
    }
}

/// Rounded up and at least 1: the SDKs read digits alone.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

fn connect_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 431 => "invalid_argument",
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        408 | 504 => "deadline_exceeded",
        413 | 429 => "resource_exhausted",
        _ => "unavailable",
    }
}

/// The last message of a stream of Connect's that broke off.
pub(crate) fn end_of_stream(message: &str) -> Bytes {
    let text = json!({"error": {"code": "unavailable", "message": message}}).to_string();
    let mut frame = Vec::with_capacity(5 + text.len());
    frame.push(0b10);
    frame.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use sandtower::core::Effect;
    use sandtower::core::{ClassifiedError, Verdict};

    use super::*;

    async fn shown(failure: &Failure, dialect: &Dialect) -> (u16, String) {
        let response = failure.response(dialect);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_dialect_has_its_own_words() {
        let failure = Failure::unavailable("not now", "draining");
        let id: SandboxId = "i0".parse().unwrap();
        for (dialect, body) in [
            (Dialect::Control, r#"{"code":503,"message":"not now"}"#),
            (Dialect::Sandbox(id), r#"{"code":503,"message":"not now","sandboxId":"i0"}"#),
            (Dialect::Connect, r#"{"code":"unavailable","message":"not now"}"#),
        ] {
            assert_eq!(shown(&failure, &dialect).await, (503, body.to_owned()));
            let response = failure.response(&dialect);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
            assert_eq!(response.headers()[SHOULD_RETRY], "false");
        }
    }

    #[test]
    fn no_error_becomes_a_502() {
        let errors: [BoxError; 4] = [
            "connection reset".into(),
            ClassifiedError::new(Verdict::transient(Effect::None), "no route").into(),
            Rejection::new("admission", "E2B", Reason::Draining).into(),
            std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
        ];
        for error in errors {
            assert_eq!(Failure::of(&error).status, StatusCode::SERVICE_UNAVAILABLE, "{error}");
        }
    }

    #[test]
    fn when_to_come_back_is_in_whole_seconds() {
        let rejection = Rejection::new("rate limit", "E2B", Reason::Throttled)
            .come_back_in(Duration::from_millis(1_200));
        let failure = Failure::of(&rejection.into());
        assert_eq!(failure.status, StatusCode::TOO_MANY_REQUESTS);
        let response = failure.response(&Dialect::Control);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn a_broken_stream_ends_with_an_error() {
        let frame = end_of_stream("broken");
        assert_eq!((frame[0], usize::from(frame[4])), (2, frame.len() - 5));
        assert!(frame[5..].starts_with(br#"{"error":{"code":"unavailable""#));
    }
}
