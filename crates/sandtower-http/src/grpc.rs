//! gRPC semantics: the method is in the path, the status in headers and trailers.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Response};
use sandtower_core::{
    Advice, BoxError, Classify, ClassifyResponse, Effect, EndOfStream, HasInfo, Operation, Replay,
    RequestInfo, Scope, Verdict,
};

use crate::{request_info, status::add_fields, verdict_of_status, verdict_of_transport};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What is known about a method in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcMethod {
    path: &'static str,
    operation: Operation,
    replay: Replay,
}

impl GrpcMethod {
    /// The method with this path, such as `/orders.v1.Orders/Place`: its operation, and whether it may be
    /// replayed.
    pub const fn new(path: &'static str, operation: Operation, replay: Replay) -> Self {
        Self { path, operation, replay }
    }
}

/// Classifies gRPC by the head of its responses.
///
/// - The operation is found by path among the given methods; any other is
///   [`Operation::CALL`]. All requests are `POST`, so only methods that are declared safe are replayed.
/// - A response with a [`Verdict`] in its extensions has that verdict, as for
///   [`HttpClassify`](crate::HttpClassify).
/// - A `grpc-status` in the head (a "trailers-only" response, for a failure without messages) is
///   classified by [`verdict_of_grpc`].
/// - Without one, a response with another status than 200 did not come from a gRPC server but from a
///   proxy: [`verdict_of_status`].
/// - Without one, a 200 is a success as far as the head shows. A call that fails after its first message
///   reports it in its trailers: with a [`GrpcInterpret`](crate::GrpcInterpret) below, gates hear of it at
///   the [end](ClassifyResponse::end_of_stream).
///
/// ```
/// use http::{Request, Response};
/// use sandtower_core::{Classify, ClassifyResponse, Effect, HasInfo, Operation, Replay, Verdict};
/// use sandtower_http::{GrpcClassify, GrpcMethod};
///
/// const GET: Operation = Operation::new(1, "order_get");
/// static METHODS: &[GrpcMethod] =
///     &[GrpcMethod::new("/orders.v1.Orders/Get", GET, Replay::Safe)];
///
/// let request = Request::post("https://orders.test/orders.v1.Orders/Get").body(())?;
/// let classifier = GrpcClassify::new(METHODS).classify(&request);
/// assert_eq!(classifier.info().operation, GET);
///
/// let response = Response::builder().header("grpc-status", "14").body(())?;
/// assert_eq!(classifier.classify(Ok(&response)), Verdict::transient(Effect::Maybe));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassify {
    methods: &'static [GrpcMethod],
    scope: Scope,
}

impl GrpcClassify {
    /// Classifies requests by these `methods`.
    pub const fn new(methods: &'static [GrpcMethod]) -> Self {
        Self { methods, scope: Scope::ALL }
    }

    /// Uses `scope` for all requests.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
}

impl<B> Classify<Request<B>> for GrpcClassify {
    type Classifier = GrpcClassifier;

    fn classify(&self, request: &Request<B>) -> GrpcClassifier {
        let path = request.uri().path();
        let known = self.methods.iter().find(|method| method.path == path);
        let (operation, replay) = known
            .map_or((Operation::CALL, Replay::Unsafe), |method| (method.operation, method.replay));
        GrpcClassifier { info: request_info(operation, request).scope(self.scope).replay(replay) }
    }
}

/// The response classifier of [`GrpcClassify`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcClassifier {
    info: RequestInfo,
}

impl HasInfo for GrpcClassifier {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<B> ClassifyResponse<Response<B>> for GrpcClassifier {
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Verdict {
        match result {
            Err(error) => verdict_of_transport(&**error),
            Ok(response) => response
                .extensions()
                .get::<Verdict>()
                .copied()
                .or_else(|| verdict_of_grpc(response.headers()))
                .unwrap_or_else(|| verdict_of_status(response.status(), response.headers())),
        }
    }

    fn end_of_stream(&self, response: &Response<B>) -> Option<EndOfStream> {
        response.extensions().get().cloned()
    }
}

/// The verdict on the `grpc-status` among `fields`, a head or trailers; `None` if there is none.
///
/// | code | verdict | why |
/// |---|---|---|
/// | 0 OK | success | |
/// | 1 CANCELLED | transient, effect maybe | an intermediary cancelled: after our own cancellation there is no response |
/// | 2 UNKNOWN, 13 INTERNAL, an unknown code | unknown, effect maybe | a bug or a transient failure |
/// | 3 INVALID_ARGUMENT, 5 NOT_FOUND, 6 ALREADY_EXISTS, 7 PERMISSION_DENIED, 9 FAILED_PRECONDITION, 11 OUT_OF_RANGE, 12 UNIMPLEMENTED, 16 UNAUTHENTICATED | permanent | the service is up and rejected the request |
/// | 4 DEADLINE_EXCEEDED | transient, effect maybe | the work may have been done nevertheless |
/// | 8 RESOURCE_EXHAUSTED | throttled, effect maybe | quotas and load, from gateways before the handler runs and from handlers after they have; where waiting does not help, an [interpreter](crate::Interpret) has to say so |
/// | 10 ABORTED | permanent | a conflict, rolled back; the caller has to read again first |
/// | 14 UNAVAILABLE | transient, effect maybe | means "retry", but gRPC warns against replaying non-idempotent calls |
/// | 15 DATA_LOSS | unknown, effect maybe, with the advice to stop | a broken service; retries do not help |
///
/// `grpc-retry-pushback-ms` (gRFC A6) sets when to retry; a negative or invalid value is the advice to
/// stop. Without it the headers of [`headers`](crate::headers) are read, which gateways add.
pub fn verdict_of_grpc(fields: &HeaderMap) -> Option<Verdict> {
    // A value that is not a number is not a valid code.
    let code = text(fields, &GRPC_STATUS)?.parse().unwrap_or(-1);
    Some(add_pushback(add_fields(verdict_of_code(code), fields), fields))
}

pub(crate) fn verdict_of_code(code: i32) -> Verdict {
    match code {
        0 => Verdict::success(),
        1 | 4 | 14 => Verdict::transient(Effect::Maybe),
        3 | 5 | 6 | 7 | 9 | 10 | 11 | 12 | 16 => Verdict::permanent(),
        8 => Verdict::throttled().effect(Effect::Maybe),
        15 => Verdict::unknown().advice(Advice::Stop),
        _ => Verdict::unknown(),
    }
}

/// `verdict` with the server's pushback.
pub(crate) fn add_pushback(verdict: Verdict, fields: &HeaderMap) -> Verdict {
    if verdict.is_success() || !fields.contains_key(PUSHBACK) {
        return verdict;
    }
    match text(fields, &PUSHBACK).and_then(|millis| millis.parse::<i32>().ok()) {
        Some(millis @ 0..) => {
            verdict.retry_after(Duration::from_millis(u64::from(millis.unsigned_abs())))
        }
        _ => verdict.advice(Advice::Stop),
    }
}

/// Empty if it is not text: present but invalid.
fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(fields.get(name)?.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;
    use sandtower_core::Tick;

    use super::*;
    use crate::Deadline;

    fn head(status: StatusCode, of: &[(&'static str, &'static str)]) -> Verdict {
        let mut response = Response::new(());
        *response.status_mut() = status;
        for (name, value) in of {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        GrpcClassify::default().classify(&Request::new(())).classify(Ok(&response))
    }

    fn code(code: &'static str) -> Verdict {
        head(StatusCode::OK, &[("grpc-status", code)])
    }

    #[test]
    fn each_code_has_its_verdict() {
        let maybe = Verdict::transient(Effect::Maybe);
        for (codes, verdict) in [
            (&["0"][..], Verdict::success()),
            (&["1", "4", "14"], maybe),
            (&["2", "13", "17", "99", "", "-1", "OK", "65536", "0.5"], Verdict::unknown()),
            (&["3", "5", "6", "7", "9", "10", "11", "12", "16"], Verdict::permanent()),
            (&["8"], Verdict::throttled().effect(Effect::Maybe)),
            (&["15"], Verdict::unknown().advice(Advice::Stop)),
        ] {
            for number in codes {
                assert_eq!(code(number), verdict, "{number}");
            }
        }
    }

    #[test]
    fn a_response_without_a_grpc_status_is_classified_by_its_http_status() {
        assert_eq!(head(StatusCode::OK, &[]), Verdict::success());
        let proxy = head(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", "2")]);
        assert_eq!(proxy, Verdict::transient(Effect::Maybe).retry_after(Duration::from_secs(2)));
    }

    #[test]
    fn pushback_sets_the_wait_or_stops_retries() {
        let pushed = |millis| {
            head(StatusCode::OK, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", millis)])
        };
        let maybe = Verdict::transient(Effect::Maybe);
        assert_eq!(pushed("0"), maybe.retry_after(Duration::ZERO));
        assert_eq!(pushed("1500"), maybe.retry_after(Duration::from_millis(1_500)));
        for stop in ["-1", "", "soon", "1.5", "2147483648"] {
            assert_eq!(pushed(stop), maybe.advice(Advice::Stop), "{stop:?}");
        }
        let fine = head(StatusCode::OK, &[("grpc-status", "0"), ("grpc-retry-pushback-ms", "-1")]);
        assert_eq!(fine, Verdict::success());
    }

    #[test]
    fn trailers_are_classified_by_the_same_table() {
        let mut trailers = HeaderMap::new();
        assert_eq!(verdict_of_grpc(&trailers), None);
        trailers.insert("grpc-status", HeaderValue::from_static("8"));
        let throttled = Verdict::throttled().effect(Effect::Maybe);
        assert_eq!(verdict_of_grpc(&trailers), Some(throttled));
    }

    #[test]
    fn the_path_determines_the_operation_and_only_safe_methods_are_replayed() {
        const LIST: Operation = Operation::new(4, "list");
        static METHODS: &[GrpcMethod] = &[GrpcMethod::new("/a.B/List", LIST, Replay::Safe)];
        let info = |path: &str| {
            let request = Request::post(path).extension(Deadline(Tick::from_nanos(9))).body(());
            GrpcClassify::new(METHODS).scope(Scope::new(7)).classify(&request.unwrap()).info
        };
        let deadline = Some(Tick::from_nanos(9));
        let expected =
            |operation| RequestInfo::new(operation).scope(Scope::new(7)).deadline(deadline);
        assert_eq!(info("https://x.test/a.B/List"), expected(LIST).replay(Replay::Safe));
        assert_eq!(info("https://x.test/a.B/Make"), expected(Operation::CALL));
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(
            status in proptest::collection::vec(any::<u8>(), 0..8),
            pushback in proptest::collection::vec(any::<u8>(), 0..16),
        ) {
            let mut fields = HeaderMap::new();
            for (name, value) in [(GRPC_STATUS, status), (PUSHBACK, pushback)] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    fields.insert(name, value);
                }
            }
            let _ = verdict_of_grpc(&fields);
        }
    }
}
