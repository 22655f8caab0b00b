use http::{Request, Response};
use sandtower_core::{
    Attempt, BoxError, Classify, ClassifyResponse, Effect, EndOfStream, HasInfo, Operation,
    Patience, Replay, RequestInfo, Scope, Verdict,
};

use crate::idempotency_key::ServedOnce;
use crate::{Deadline, is_idempotent, verdict_of_status, verdict_of_transport};

/// Classifies by HTTP semantics: methods, statuses, headers.
///
/// All requests are one operation in one scope. Those of an idempotent method may be replayed, and those
/// that an [`IdempotencyKeyLayer`](crate::IdempotencyKeyLayer) above has given a key. The
/// deadline and the call's arrival come from the request's extensions [`Deadline`] and [`Attempt`]; for
/// whom it is sent, and how urgent it is, from those of [`request_info`], or by
/// [`Callers`](crate::Callers) from header fields.
///
/// A response with a [`Verdict`] in its extensions has that verdict: an
/// [interpreter](crate::Interpret) has read its body. Any other is classified by
/// [`verdict_of_status`], an error by [`verdict_of_transport`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify {
    operation: Operation,
    scope: Scope,
    follows_redirects: bool,
}

impl HttpClassify {
    /// Uses `operation` for all requests.
    pub const fn new(operation: Operation) -> Self {
        Self { operation, scope: Scope::ALL, follows_redirects: false }
    }

    /// Uses `scope` for all requests.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Declares that a layer or client below follows redirects: any error may then have had an effect,
    /// since the request that was not sent may be the one after a redirect.
    #[must_use]
    pub const fn follows_redirects(mut self) -> Self {
        self.follows_redirects = true;
        self
    }
}

impl<B> Classify<Request<B>> for HttpClassify {
    type Classifier = HttpClassifier;

    fn classify(&self, request: &Request<B>) -> HttpClassifier {
        let info = request_info(self.operation, request).scope(self.scope);
        let follows_redirects = self.follows_redirects;
        HttpClassifier { info: info.replay(replay_of(request)), follows_redirects }
    }
}

/// The info of `request` as far as its extensions give it: the `operation` in [`Scope::ALL`], with the
/// call's deadline and arrival, its tenant and how urgent it is, by the extensions
/// [`Tenant`](sandtower_core::Tenant), [`Priority`](sandtower_core::Priority) and
/// [`Patience`](sandtower_core::Patience). Classifiers for particular services build on it and decide
/// whether the request may be replayed.
pub fn request_info<B>(operation: Operation, request: &Request<B>) -> RequestInfo {
    let extensions = request.extensions();
    RequestInfo::new(operation)
        .deadline(extensions.get::<Deadline>().map(|deadline| deadline.0))
        .arrived(extensions.get::<Attempt>().map(|attempt| attempt.arrived))
        .tenant(extensions.get().copied().unwrap_or_default())
        .priority(extensions.get().copied().unwrap_or_default())
        .patience(extensions.get::<Patience>().copied())
}

/// Whether `request` may be sent again after an attempt that may have had an effect, as far as HTTP says:
/// its method is idempotent, or an [`IdempotencyKeyLayer`](crate::IdempotencyKeyLayer) above has given it
/// a key. For classifiers of your own.
pub fn replay_of<B>(request: &Request<B>) -> Replay {
    let is_served_once = request.extensions().get::<ServedOnce>().is_some();
    if is_idempotent(request.method()) || is_served_once { Replay::Safe } else { Replay::Unsafe }
}

/// The response classifier of [`HttpClassify`], and of any other classifier whose responses follow HTTP
/// semantics unless they carry a [`Verdict`].
#[derive(Clone, Copy, Debug)]
pub struct HttpClassifier {
    info: RequestInfo,
    follows_redirects: bool,
}

impl HttpClassifier {
    /// Classifies the response to the request with this `info`.
    pub const fn new(info: RequestInfo) -> Self {
        Self { info, follows_redirects: false }
    }
}

impl HasInfo for HttpClassifier {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<B> ClassifyResponse<Response<B>> for HttpClassifier {
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Verdict {
        match result {
            Ok(response) => match response.extensions().get::<Verdict>() {
                Some(verdict) => *verdict,
                None => verdict_of_status(response.status(), response.headers()),
            },
            Err(error) if self.follows_redirects => {
                verdict_of_transport(&**error).effect(Effect::Maybe)
            }
            Err(error) => verdict_of_transport(&**error),
        }
    }

    fn end_of_stream(&self, response: &Response<B>) -> Option<EndOfStream> {
        response.extensions().get().cloned()
    }

    fn status(&self, response: &Response<B>) -> Option<u16> {
        Some(response.status().as_u16())
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use sandtower_core::{CallerError, Outcome, Tick};

    use super::*;

    fn ask<B>(request: &Request<B>) -> RequestInfo {
        let classifier = HttpClassify::new(Operation::new(7, "fetch")).classify(request);
        *classifier.info()
    }

    #[test]
    fn the_info_comes_from_the_method_and_the_extensions() {
        let arrived = Tick::from_nanos(3);
        let request = Request::builder()
            .method(http::Method::DELETE)
            .extension(Deadline(Tick::from_nanos(9)))
            .extension(Attempt::first(arrived).next(Outcome::Unknown))
            .body(())
            .unwrap();
        let expected = RequestInfo::new(Operation::new(7, "fetch"))
            .replay(Replay::Safe)
            .deadline(Some(Tick::from_nanos(9)))
            .arrived(Some(arrived));
        assert_eq!(ask(&request), expected);
    }

    #[test]
    fn a_post_is_not_replayed() {
        assert_eq!(ask(&Request::post("/").body(()).unwrap()).replay, Replay::Unsafe);
    }

    #[test]
    fn the_interpreters_verdict_takes_precedence_over_the_status() {
        let classifier = HttpClassifier::new(RequestInfo::default());
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(classifier.classify(Ok(&response)), Verdict::throttled());
        response.extensions_mut().insert(Verdict::exhausted());
        assert_eq!(classifier.classify(Ok(&response)), Verdict::exhausted());
    }

    #[test]
    fn an_error_is_classified_by_whether_the_request_was_sent() {
        let classifier = HttpClassifier::new(RequestInfo::default());
        let error: BoxError = CallerError::new("the disk broke").into();
        let verdict = ClassifyResponse::<Response<()>>::classify(&classifier, Err(&error));
        assert_eq!(verdict.outcome, Outcome::Cancelled);
    }
}
