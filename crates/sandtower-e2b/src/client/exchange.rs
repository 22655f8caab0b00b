//! Sending one request, and reading its answer.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{Attempt, BoxError, Verdict};
use sandtower_http::DEFAULT_CAP;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::{
    Answer, Call, Error, Said, Sandbox, body::read, hidden::Hidden, request, strings::E2B,
    verdict_of_answer,
};

use super::Client;

/// The most of an answer that is read: 4 MiB. A page of 100 sandboxes is below 1.
const LONGEST_ANSWER: usize = 4 * 1_024 * 1_024;

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn control(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        request::control(&self.config, method, path, body)
            .map_err(|error| request::failed(call, error))
    }

    /// A remote call of the envd of `sandbox`, as `user`, that is answered by one message.
    pub(super) async fn unary<T: DeserializeOwned>(
        &self,
        call: &Call,
        sandbox: &Sandbox,
        path: &str,
        user: Option<&str>,
        message: &impl Serialize,
    ) -> Result<T, Error> {
        let request = request::unary(&self.config, sandbox, path, user, message)
            .map_err(|error| request::failed(call, error))?;
        self.json(call, request).await.map(|(answer, _)| answer)
    }

    /// The answer as JSON, with its header fields.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Request<Full<Bytes>>,
    ) -> Result<(T, HeaderMap), Error> {
        let response = self.successful(call, request).await?;
        self.read_json(call, response).await
    }

    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        call: &Call,
        response: Response<B>,
    ) -> Result<(T, HeaderMap), Error> {
        let (head, body) = response.into_parts();
        let unreadable = |source| Error::Unreadable { call: call.clone(), source };
        let body = read(body, LONGEST_ANSWER, self.patience(call)).await;
        match serde_json::from_slice(&body.map_err(|error| unreadable(error.into()))?) {
            Ok(value) => Ok((value, head.headers)),
            // Its place in the text is said, not the text: that may hold a token.
            Err(error) => Err(unreadable(
                format!("no such json at line {} column {}", error.line(), error.column()).into(),
            )),
        }
    }

    /// The answer, if it is a success.
    pub(crate) async fn successful(
        &self,
        call: &Call,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<B>, Error> {
        let hidden = Hidden::of(&request);
        self.successful_hiding(call, request, &hidden).await
    }

    /// The answer, if it is a success; what is `hidden` is not repeated if it is not.
    pub(super) async fn successful_hiding(
        &self,
        call: &Call,
        request: Request<Full<Bytes>>,
        hidden: &Hidden,
    ) -> Result<Response<B>, Error> {
        let unanswered = |source| Error::Unanswered { call: call.clone(), source };
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(|e| unanswered(e.into()))?;
        let response = service.call(request).await.map_err(|e| unanswered(e.into()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // An error is told even if its body cannot be read.
        let body = read(body, DEFAULT_CAP, self.patience(call)).await.unwrap_or_default();
        let said = Said::parse(&body);
        let verdict = head.extensions.get::<Verdict>().copied().unwrap_or_else(|| {
            verdict_of_answer(E2B, call.operation, head.status, &head.headers, &said)
        });
        let said = hidden.hide(said);
        let attempt = head.extensions.get::<Attempt>().map_or(1, |attempt| attempt.number);
        let answer = Box::new(Answer { status: head.status, said, verdict, attempt });
        Err(Error::Answered { call: call.clone(), answer })
    }

    /// How long an answer to `call` may stand still.
    pub(super) fn patience(&self, call: &Call) -> Option<Duration> {
        self.config.operation_timeouts().attempt_of(call.operation)
    }
}
