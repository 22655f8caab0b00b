use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use sandtower_core::{Operation, Reason, Rejection};
use serde::Serialize;

/// A rejection as an HTTP response of your service.
///
/// | reason | status |
/// |---|---|
/// | over the limit; throttled by the service below | 429 |
/// | open, probing, full, too late, unhealthy, shutting down, any other | 503: not caused by the caller |
///
/// `Retry-After` is always there: in whole seconds, rounded up and at least 1. Where the time is not
/// known, it is 1 s if only a place has to become free, and 5 s if the service has to recover. The body is a short JSON object: `error` (the whole message), `reason` (one of a closed
/// set), `layer`, and `retry_after_ms` where there is one. For a body of another kind begin with
/// [`rejection_head`], which has no `content-type`.
///
/// ```
/// use std::time::Duration;
/// use http::{StatusCode, header::RETRY_AFTER};
/// use sandtower_core::{Reason, Rejection};
/// use sandtower_http::rejection_response;
///
/// let rejection = Rejection::new("circuit breaker", "E2B", Reason::ForcedOpen)
///     .come_back_in(Duration::from_millis(1_200));
/// let response = rejection_response(&rejection);
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(response.headers()[RETRY_AFTER], "2");
/// ```
pub fn rejection_response(rejection: &Rejection) -> Response<Full<Bytes>> {
    let said = Json {
        error: rejection.to_string(),
        reason: rejection.reason().label(),
        layer: rejection.layer(),
        operation: rejection.operation().map(Operation::name),
        retry_after_ms: rejection.retry_after().map(millis),
    };
    // A plain object of strings and numbers always serialises.
    let body = serde_json::to_vec(&said).unwrap_or_default();
    let mut response = rejection_head(rejection).map(|()| Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The status and the `Retry-After` of [`rejection_response`], for a body of your own.
///
/// ```
/// use http::header::CONTENT_TYPE;
/// use sandtower_core::{Reason, Rejection};
/// use sandtower_http::rejection_head;
///
/// let rejection = Rejection::new("admission", "E2B", Reason::Draining);
/// let response = rejection_head(&rejection).map(|()| rejection.to_string());
/// assert!(!response.headers().contains_key(CONTENT_TYPE));
/// ```
pub fn rejection_head(rejection: &Rejection) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status(&rejection.reason());
    let after = rejection.retry_after().unwrap_or(guess(&rejection.reason()));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
    response
}

/// When to retry if that is not known: a full queue has room within a moment, a service that is down or
/// shutting down does not.
fn guess(reason: &Reason) -> Duration {
    match reason {
        Reason::Full { .. } | Reason::QueueFull { .. } | Reason::Probing => Duration::from_secs(1),
        _ => Duration::from_secs(5),
    }
}

#[derive(Serialize)]
struct Json {
    error: String,
    reason: &'static str,
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

fn status(reason: &Reason) -> StatusCode {
    match reason {
        Reason::OverLimit { .. } | Reason::Throttled => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Rounded up, so that a client that honours it does not retry too early.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// A rejection as a gRPC response of your service.
///
/// | reason | code |
/// |---|---|
/// | over the limit; throttled by the service below, or no slot left | `RESOURCE_EXHAUSTED` |
/// | too late, or no time | `DEADLINE_EXCEEDED` |
/// | open, probing, full, unhealthy, shutting down, any other | `UNAVAILABLE` |
///
/// The time to retry is in `grpc-retry-pushback-ms` (gRFC A6), which gRPC clients obey.
#[cfg(feature = "tonic")]
pub fn rejection_grpc(rejection: &Rejection) -> tonic::Status {
    use tonic::{Code, Status};

    let code = match rejection.reason() {
        Reason::OverLimit { .. } | Reason::Throttled | Reason::Exhausted { .. } => {
            Code::ResourceExhausted
        }
        Reason::TooLate { .. } | Reason::NoTime { .. } => Code::DeadlineExceeded,
        _ => Code::Unavailable,
    };
    let mut status = Status::new(code, rejection.to_string());
    if let Some(after) = rejection.retry_after() {
        // The field is a signed 32-bit number.
        let millis = millis(after).min(i32::MAX.unsigned_abs().into());
        status.metadata_mut().insert("grpc-retry-pushback-ms", millis.into());
    }
    status
}
