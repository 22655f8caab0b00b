//! What gRPC means: statuses in header fields, by the path which method is called.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Response};
use sandtower_core::{
    Advice, BoxError, Classify, ClassifyResponse, Effect, EndOfStream, HasInfo, Operation, Replay,
    RequestInfo, Scope, Verdict,
};

use crate::{request_info, status::add_fields, verdict_of_status, verdict_of_transport};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What is known of a method beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcMethod {
    path: &'static str,
    operation: Operation,
    replay: Replay,
}

impl GrpcMethod {
    /// The method of this path, such as `/orders.v1.Orders/Place`: a kind of call, and whether it
    /// may be replayed.
    pub const fn new(path: &'static str, operation: Operation, replay: Replay) -> Self {
        Self { path, operation, replay }
    }
}

/// Classifies gRPC by what stands in the head of its answers.
///
/// - The operation is found by the path among the methods that it is given; any other is
///   [`Operation::CALL`]. All are `POST`, so nothing may be replayed unless its method says so.
/// - An answer that carries a [`Verdict`] among its extensions means that, as for
///   [`HttpClassify`](crate::HttpClassify).
/// - A `grpc-status` in the head (servers send a failure without messages so: "trailers-only") is
///   judged by [`verdict_of_grpc`].
/// - Without one an answer of another status than 200 never came from a gRPC server, but from
///   something before it: [`verdict_of_status`].
/// - Without one a 200 is a success as far as its head tells. A call that fails after its first
///   message says so in its trailers: with a [`GrpcInterpret`](crate::GrpcInterpret) below, gates
///   hear of it at the [end](ClassifyResponse::end_of_stream).
///
/// ```
/// use http::{Request, Response};
/// use sandtower_core::{Asks, Classify, Effect, ClassifyResponse, Operation, Replay, Verdict};
/// use sandtower_http::{GrpcClassify, GrpcMethod};
///
/// const GET: Operation = Operation::new(1, "order_get");
/// static METHODS: &[GrpcMethod] =
///     &[GrpcMethod::new("/orders.v1.Orders/Get", GET, Replay::Safe)];
///
/// let request = Request::post("https://orders.test/orders.v1.Orders/Get").body(())?;
/// let judge = GrpcClassify::new(METHODS).classify(&request);
/// assert_eq!(judge.info().operation, GET);
///
/// let answer = Response::builder().header("grpc-status", "14").body(())?;
/// assert_eq!(judge.head(Ok(&answer)), Verdict::transient(Effect::Maybe));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassify {
    methods: &'static [GrpcMethod],
    scope: Scope,
}

impl GrpcClassify {
    /// Knows these `methods`.
    pub const fn new(methods: &'static [GrpcMethod]) -> Self {
        Self { methods, scope: Scope::ALL }
    }

    /// Every request belongs to `scope`.
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

/// The judge of [`GrpcClassify`].
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

/// What the `grpc-status` among `fields`, a head or trailers, says; `None` if there is none.
///
/// | code | verdict | why |
/// |---|---|---|
/// | 0 OK | success | |
/// | 1 CANCELLED | transient, effect maybe | not by us, who would not see an answer: something between gave up |
/// | 2 UNKNOWN, 13 INTERNAL, a code nobody knows | unknown, effect maybe | a bug or a bad moment: nobody can tell |
/// | 3 INVALID_ARGUMENT, 5 NOT_FOUND, 6 ALREADY_EXISTS, 7 PERMISSION_DENIED, 9 FAILED_PRECONDITION, 11 OUT_OF_RANGE, 12 UNIMPLEMENTED, 16 UNAUTHENTICATED | permanent | the service is alive and said no |
/// | 4 DEADLINE_EXCEEDED | transient, effect maybe | the work may be done all the same |
/// | 8 RESOURCE_EXHAUSTED | throttled | quotas and load; where it means something that time does not cure, an [interpreter](crate::Interpret) has to say so |
/// | 10 ABORTED | permanent | a conflict, undone; whatever was read before has to be read again, which only the caller can do |
/// | 14 UNAVAILABLE | transient, effect maybe | "retry", yet gRPC itself warns of replaying what is not idempotent |
/// | 15 DATA_LOSS | unknown, effect maybe, with the advice to stop | a broken service, which no retry mends |
///
/// `grpc-retry-pushback-ms` (gRFC A6) sets when to come back; a negative or unreadable one is the
/// advice to stop. Without it the fields of [`headers`](crate::headers) are read, which gateways add.
pub fn verdict_of_grpc(fields: &HeaderMap) -> Option<Verdict> {
    // What is no number is no code either.
    let code = text(fields, &GRPC_STATUS)?.parse().unwrap_or(-1);
    Some(add_pushback(add_fields(verdict_of_code(code), fields), fields))
}

pub(crate) fn verdict_of_code(code: i32) -> Verdict {
    match code {
        0 => Verdict::success(),
        1 | 4 | 14 => Verdict::transient(Effect::Maybe),
        3 | 5 | 6 | 7 | 9 | 10 | 11 | 12 | 16 => Verdict::permanent(),
        8 => Verdict::throttled(),
        15 => Verdict::unknown().advice(Advice::Stop),
        _ => Verdict::unknown(),
    }
}

/// `verdict`, with what the server asked for by gRPC's own field.
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

/// Empty for what is no text: present, and without sense.
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
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        for (name, value) in of {
            answer.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        GrpcClassify::default().classify(&Request::new(())).classify(Ok(&answer))
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
            (&["8"], Verdict::throttled()),
            (&["15"], Verdict::unknown().advice(Advice::Stop)),
        ] {
            for number in codes {
                assert_eq!(code(number), verdict, "{number}");
            }
        }
    }

    #[test]
    fn an_answer_without_a_grpc_status_is_judged_by_its_status() {
        assert_eq!(head(StatusCode::OK, &[]), Verdict::success());
        let proxy = head(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", "2")]);
        assert_eq!(proxy, Verdict::transient(Effect::Maybe).retry_after(Duration::from_secs(2)));
    }

    #[test]
    fn pushback_says_when_or_that_not() {
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
    fn trailers_are_judged_by_the_same_table() {
        let mut trailers = HeaderMap::new();
        assert_eq!(verdict_of_grpc(&trailers), None);
        trailers.insert("grpc-status", HeaderValue::from_static("8"));
        assert_eq!(verdict_of_grpc(&trailers), Some(Verdict::throttled()));
    }

    #[test]
    fn the_path_says_the_operation_and_nothing_is_replayed_unless_its_method_says_so() {
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
