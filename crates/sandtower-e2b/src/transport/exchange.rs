//! One request over any service, and reading its response.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use sandtower_core::{Attempt, BoxError, Explanation, RequestInfo, Verdict};
use sandtower_http::DEFAULT_CAP;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::api::hidden::Hidden;
use crate::strings::E2B;
use crate::transport::body::{Unread, read};
use crate::{Call, E2bClassify, Error, ErrorBody, ErrorResponse, verdict_of_response};

/// The longest response that is read: 4 MiB. A page of 100 sandboxes is below 1.
pub(crate) const LONGEST_RESPONSE: usize = 4 * 1_024 * 1_024;

/// The response to `request`, if its status is a success. Nothing `hidden` is in the error if it is not,
/// nor does the body of that error stand still for longer than `patience`.
pub(crate) async fn send<S, Q, B>(
    mut service: S,
    call: &Call,
    mut request: Request<Q>,
    hidden: &Hidden,
    patience: Option<Duration>,
) -> Result<Response<B>, Error>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if request.extensions().get::<RequestInfo>().is_none() {
        E2bClassify::put_info(&mut request);
    }
    let no_response = |source| Error::NoResponse { call: call.clone(), source };
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|e| no_response(e.into()))?;
    let response = service.call(request).await.map_err(|e| no_response(e.into()))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    // The error is reported even if its body cannot be read.
    let body = read(body, DEFAULT_CAP, patience).await.unwrap_or_default();
    let body = ErrorBody::parse(&body);
    let verdict = head.extensions.get::<Verdict>().copied().unwrap_or_else(|| {
        verdict_of_response(E2B, call.operation, head.status, &head.headers, &body)
    });
    let body = hidden.hide(body);
    let attempt = head.extensions.get::<Attempt>().map_or(1, |attempt| attempt.number);
    let explanation = head.extensions.get::<Explanation>().cloned().map(Box::new);
    let status = head.status;
    let response = Box::new(ErrorResponse { status, body, verdict, attempt, explanation });
    Err(Error::Status { call: call.clone(), response })
}

/// The body of `response` as JSON, with its header fields.
pub(crate) async fn read_json<T, B>(
    call: &Call,
    response: Response<B>,
    patience: Option<Duration>,
) -> Result<(T, HeaderMap), Error>
where
    T: DeserializeOwned,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let body = read(body, LONGEST_RESPONSE, patience).await;
    let json = body.and_then(|body| parse(&body));
    match json {
        Ok(value) => Ok((value, head.headers)),
        Err(unread) => Err(Error::BrokenResponse { call: call.clone(), source: unread.into() }),
    }
}

/// Parses `body` as JSON. Input that ends within a value was cut off.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unread> {
    serde_json::from_slice(body).map_err(|error| {
        // The position is shown but not the text, which may contain a token.
        let place = format!("line {} column {}", error.line(), error.column());
        match error.is_eof() {
            true => Unread::Broken(format!("the JSON is cut off at {place}").into()),
            false => Unread::Unexpected(format!("not the JSON that was expected, at {place}")),
        }
    })
}
