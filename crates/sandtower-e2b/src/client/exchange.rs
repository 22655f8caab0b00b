//! Typed calls: enforces deadlines, and repeats safe calls whose response body breaks off.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{Backoff, BoxError, Replay, Sleep, Tick, Verdict};
use sandtower_http::Deadline;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::api::hidden::Hidden;
use crate::api::request;
use crate::transport::body::{Unread, read};
use crate::transport::exchange::{LONGEST_RESPONSE, parse, send};
use crate::transport::within::{Limit, within};
use crate::{Call, E2bClassify, Error, Sandbox};

use super::Client;

/// How often a call that is safe to repeat is sent if its response body breaks off. Failures before the
/// body are retried by the layers of the service.
const TRIES: u32 = 3;
const AGAIN: Backoff =
    Backoff::exponential(Duration::from_millis(250), Duration::from_secs(2)).full_jitter();

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// A call of the control plane, and its response.
    pub(super) async fn control(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<B>, Error> {
        let build = || request::control(&self.config, method, path, body);
        let limit = self.limit(call);
        self.in_time(call, limit, self.send(call, limit, build())).await
    }

    /// A call that reads from the control plane.
    pub(super) async fn read_control<T: DeserializeOwned>(
        &self,
        call: &Call,
        path: &str,
    ) -> Result<(T, HeaderMap), Error> {
        self.json(call, || request::control(&self.config, Method::GET, path, Bytes::new())).await
    }

    /// A remote call of the envd of `sandbox`, as `user`, whose response is one message.
    pub(super) async fn unary<T: DeserializeOwned>(
        &self,
        call: &Call,
        sandbox: &Sandbox,
        path: &str,
        user: Option<&str>,
        message: &impl Serialize,
    ) -> Result<T, Error> {
        let build = || request::unary(&self.config, sandbox, path, user, message);
        self.json(call, build).await.map(|(value, _)| value)
    }

    /// The response as JSON, with its headers.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        build: impl Fn() -> Result<Request<Full<Bytes>>, BoxError>,
    ) -> Result<(T, HeaderMap), Error> {
        let unreadable =
            |unread: Unread| Error::BrokenResponse { call: call.clone(), source: unread.into() };
        self.collect(call, self.limit(call), LONGEST_RESPONSE, build, |body| parse(&body))
            .await?
            .map_err(unreadable)
    }

    /// The response, its body collected and read by `parse`, with its headers. A call that is safe to repeat
    /// is sent again if the body breaks off.
    pub(super) async fn collect<T>(
        &self,
        call: &Call,
        limit: Limit,
        longest: usize,
        build: impl Fn() -> Result<Request<Full<Bytes>>, BoxError>,
        parse: impl Fn(Bytes) -> Result<T, Unread>,
    ) -> Result<Result<(T, HeaderMap), Unread>, Error> {
        let collected = async {
            let mut tried = 0;
            loop {
                let mut request = build().map_err(|error| request::failed(call, error))?;
                let is_safe = E2bClassify::put_info(&mut request).replay == Replay::Safe;
                let (head, body) = self.send(call, limit, Ok(request)).await?.into_parts();
                // An interpreter below saw it, so it was retried there.
                let is_known = head.extensions.get::<Verdict>().is_some_and(Verdict::is_failure);
                let body = read(body, longest, self.patience(call)).await;
                let unread = match body.and_then(&parse) {
                    Ok(value) => return Ok(Ok((value, head.headers))),
                    Err(unread) => unread,
                };
                tried += 1;
                let again = Tick::now() + AGAIN.delay(tried - 1, &mut self.config.rng());
                let is_broken = matches!(unread, Unread::Broken(_));
                let may_repeat = is_broken && is_safe && !is_known && tried < TRIES;
                if !may_repeat || again >= limit.until() {
                    return Ok(Err(unread));
                }
                tracing::debug!(
                    target: "sandtower::e2b",
                    operation = %call.operation, tried, "response body broke off, sending the request again"
                );
                Sleep::until(again).await;
            }
        };
        self.in_time(call, limit, collected).await
    }

    /// The response, if its status is a success.
    pub(super) async fn send(
        &self,
        call: &Call,
        limit: Limit,
        request: Result<Request<Full<Bytes>>, BoxError>,
    ) -> Result<Response<B>, Error> {
        let request = request.map_err(|error| request::failed(call, error))?;
        let hidden = Hidden::of(&request);
        self.send_hiding(call, limit, request, &hidden).await
    }

    /// The response, if its status is a success. Otherwise the error contains nothing `hidden`.
    pub(super) async fn send_hiding(
        &self,
        call: &Call,
        limit: Limit,
        mut request: Request<Full<Bytes>>,
        hidden: &Hidden,
    ) -> Result<Response<B>, Error> {
        if limit.until() < Tick::MAX {
            // Passed to the layers below, so that none of them starts work that cannot finish in time.
            request.extensions_mut().insert(Deadline(limit.until()));
        }
        send(self.service.clone(), call, request, hidden, self.patience(call)).await
    }

    /// Awaits `future` until the timeout of its `call`.
    pub(super) async fn in_time<T>(
        &self,
        call: &Call,
        limit: Limit,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = || Error::DeadlineExceeded {
            call: call.clone(),
            after: limit.timeout().unwrap_or_default(),
        };
        within(limit.left(), future).await.unwrap_or_else(|| Err(late()))
    }

    /// The default timeout of `call`, from now on.
    pub(super) fn limit(&self, call: &Call) -> Limit {
        Limit::from_now(self.config.operation_timeouts().call_of(call.operation))
    }

    /// How long the body of a response to `call` may stall.
    pub(super) fn patience(&self, call: &Call) -> Option<Duration> {
        self.config.operation_timeouts().attempt_of(call.operation)
    }
}
