use http::{Request, Response};
use sandtower_core::{BoxError, Classify, ClassifyResponse, HasInfo, RequestInfo, Verdict};
use tower_http::classify::{
    ClassifiedResponse, ClassifyResponse as TowerClassifyResponse, GrpcCode, GrpcFailureClass,
    MakeClassifier, ServerErrorsFailureClass, StatusInRangeFailureClass,
};

use crate::{
    HttpClassifier, HttpClassify,
    grpc::{add_pushback, verdict_of_code},
    status::{add_fields, by_status},
    verdict_of_transport,
};

/// Adapts a classifier of `tower_http::classify`.
///
/// It decides which responses are failures; the class of a failure determines its verdict. The info of a
/// request comes from an [`HttpClassify`], and an error instead of a response is classified by
/// [`verdict_of_transport`]: those classifiers see only its text. A [`Verdict`] in a response's extensions
/// takes precedence, and the data of the headers is added, as everywhere.
///
/// A response whose classifier waits for the end of the body counts as a success at its head.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use sandtower_core::{Classify, ClassifyResponse, Verdict};
/// use sandtower_http::TowerClassify;
/// use tower_http::classify::ServerErrorsAsFailures;
///
/// let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
/// let classifier = classify.classify(&Request::new(()));
/// let response = Response::builder().status(StatusCode::NOT_FOUND).body(())?;
/// assert_eq!(classifier.classify(Ok(&response)), Verdict::success(), "only server errors are failures");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct TowerClassify<M, V> {
    make: M,
    verdict: V,
    requests: HttpClassify,
}

impl<M> TowerClassify<M, fn(&M::FailureClass) -> Verdict>
where
    M: MakeClassifier,
    M::FailureClass: Failure,
{
    /// Uses the classifiers of `make`, with the failure classes of `tower_http`.
    pub fn new(make: M) -> Self {
        Self::with(make, M::FailureClass::verdict)
    }
}

impl<M, V> TowerClassify<M, V> {
    /// Uses the classifiers of `make`; `verdict` is a function from a reference to a failure class to its
    /// verdict.
    pub fn with(make: M, verdict: V) -> Self {
        Self { make, verdict, requests: HttpClassify::default() }
    }

    /// Takes the info of requests from `requests`.
    #[must_use]
    pub fn requests(mut self, requests: HttpClassify) -> Self {
        self.requests = requests;
        self
    }
}

impl<M, V, B> Classify<Request<B>> for TowerClassify<M, V>
where
    M: MakeClassifier,
    V: Clone,
{
    type Classifier = TowerClassifier<M::Classifier, V>;

    fn classify(&self, request: &Request<B>) -> Self::Classifier {
        TowerClassifier {
            classifier: self.make.make_classifier(request),
            verdict: self.verdict.clone(),
            http: self.requests.classify(request),
        }
    }
}

/// The response classifier of [`TowerClassify`].
#[derive(Clone, Copy)]
pub struct TowerClassifier<C, V> {
    classifier: C,
    verdict: V,
    http: HttpClassifier,
}

impl<C, V> HasInfo for TowerClassifier<C, V> {
    fn info(&self) -> &RequestInfo {
        self.http.info()
    }
}

impl<C, V, B> ClassifyResponse<Response<B>> for TowerClassifier<C, V>
where
    C: TowerClassifyResponse + Clone,
    V: Fn(&C::FailureClass) -> Verdict,
{
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Verdict {
        let response = match result {
            Ok(response) => response,
            Err(error) => return verdict_of_transport(&**error),
        };
        if let Some(verdict) = response.extensions().get::<Verdict>() {
            return *verdict;
        }
        // A classifier of `tower_http` is consumed by a response; ours may be called again.
        let verdict = match self.classifier.clone().classify_response(response) {
            ClassifiedResponse::Ready(Err(class)) => (self.verdict)(&class),
            ClassifiedResponse::Ready(Ok(())) | ClassifiedResponse::RequiresEos(_) => {
                Verdict::success()
            }
        };
        add_pushback(add_fields(verdict, response.headers()), response.headers())
    }
}

impl<M, V> std::fmt::Debug for TowerClassify<M, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TowerClassify").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl<C, V> std::fmt::Debug for TowerClassifier<C, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TowerClassifier").field("http", &self.http).finish_non_exhaustive()
    }
}

/// A failure class with a verdict.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no verdict for its failures",
    label = "not a `Failure`",
    note = "pass `TowerClassify::with` a function that returns the verdict"
)]
pub trait Failure {
    /// The verdict on a response of this class, without its headers.
    fn verdict(&self) -> Verdict;
}

impl Failure for ServerErrorsFailureClass {
    fn verdict(&self) -> Verdict {
        match self {
            Self::StatusCode(status) => by_status(*status),
            Self::Error(_) => Verdict::unknown(),
        }
    }
}

impl Failure for StatusInRangeFailureClass {
    /// A status in the range that is not a failure in HTTP is permanent: the range was chosen
    /// deliberately.
    fn verdict(&self) -> Verdict {
        match self {
            Self::StatusCode(status) => match by_status(*status) {
                verdict if verdict.is_success() => Verdict::permanent(),
                verdict => verdict,
            },
            Self::Error(_) => Verdict::unknown(),
        }
    }
}

impl Failure for GrpcFailureClass {
    fn verdict(&self) -> Verdict {
        match self {
            // 0 is not a failure: a classifier that does not count it as a success means a real problem.
            Self::Status(status) if status.code() == Some(GrpcCode::Ok) => Verdict::unknown(),
            Self::Status(status) => verdict_of_code(status.code_raw()),
            _ => Verdict::unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use sandtower_core::{Advice, Effect, Operation, Replay};
    use tower_http::classify::{
        GrpcErrorsAsFailures, ServerErrorsAsFailures, SharedClassifier, StatusInRangeAsFailures,
    };

    use super::*;

    fn response(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn server_errors_are_failures_with_http_semantics() {
        let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
        let classifier = classify.classify(&Request::new(()));
        let head = |status, fields: &[_]| classifier.classify(Ok(&response(status, fields)));
        assert_eq!(head(200, &[]), Verdict::success());
        assert_eq!(head(429, &[]), Verdict::success());
        assert_eq!(head(500, &[]), Verdict::unknown());
        let wait = Duration::from_secs(3);
        let expected = Verdict::transient(Effect::Maybe).retry_after(wait);
        assert_eq!(head(503, &[("retry-after", "3")]), expected);
    }

    #[test]
    fn a_range_of_statuses_is_failures() {
        let range = StatusInRangeAsFailures::new(302..=429).into_make_classifier();
        let classifier = TowerClassify::new(range).classify(&Request::new(()));
        assert_eq!(classifier.classify(Ok(&response(302, &[]))), Verdict::permanent());
        assert_eq!(classifier.classify(Ok(&response(429, &[]))), Verdict::throttled());
        assert_eq!(classifier.classify(Ok(&response(503, &[]))), Verdict::success());
    }

    #[test]
    fn a_grpc_status_in_the_head_is_classified_by_our_table() {
        let make = GrpcErrorsAsFailures::new().with_success(GrpcCode::NotFound);
        let classifier =
            TowerClassify::new(SharedClassifier::new(make)).classify(&Request::new(()));
        let head = |fields: &[_]| classifier.classify(Ok(&response(200, fields)));
        assert_eq!(head(&[]), Verdict::success());
        assert_eq!(head(&[("grpc-status", "5")]), Verdict::success());
        assert_eq!(head(&[("grpc-status", "3")]), Verdict::permanent());
        let pushed = head(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")]);
        assert_eq!(pushed, Verdict::transient(Effect::Maybe).advice(Advice::Stop));
    }

    #[test]
    fn errors_are_classified_by_whether_the_request_was_sent_and_extensions_take_precedence() {
        let make = ServerErrorsAsFailures::make_classifier();
        let asks = HttpClassify::new(Operation::new(3, "fetch"));
        let classifier = TowerClassify::with(make, |_: &_| Verdict::permanent())
            .requests(asks)
            .classify(&Request::new(()));
        let info = classifier.info();
        assert_eq!((info.operation.name(), info.replay), ("fetch", Replay::Safe));
        let error: BoxError = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        let unreachable = ClassifyResponse::<Response<()>>::classify(&classifier, Err(&error));
        assert_eq!(unreachable, Verdict::transient(Effect::Maybe));
        assert_eq!(classifier.classify(Ok(&response(500, &[]))), Verdict::permanent());
        let mut full = response(StatusCode::TOO_MANY_REQUESTS.as_u16(), &[]);
        full.extensions_mut().insert(Verdict::exhausted());
        assert_eq!(classifier.classify(Ok(&full)), Verdict::exhausted());
    }
}
