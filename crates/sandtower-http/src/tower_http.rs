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

/// A classifier of `tower_http::classify` as one of ours.
///
/// It says which answers are failures; what a failure means is said by its class. What a request
/// asks is said by an [`HttpClassify`], and an error instead of an answer is judged by
/// [`verdict_of_transport`]: those classifiers see its text only. A [`Verdict`] among an answer's
/// extensions is believed first, and what its header fields say is added, as everywhere.
///
/// An answer that its classifier would judge at the end of its body is a success as far as its head
/// tells.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use sandtower_core::{Classify, ClassifyResponse, Verdict};
/// use sandtower_http::TowerClassify;
/// use tower_http::classify::ServerErrorsAsFailures;
///
/// let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
/// let judge = classify.classify(&Request::new(()));
/// let answer = Response::builder().status(StatusCode::NOT_FOUND).body(())?;
/// assert_eq!(judge.head(Ok(&answer)), Verdict::success(), "it only minds the server's errors");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct TowerClassify<M, V> {
    make: M,
    verdict: V,
    asks: HttpClassify,
}

impl<M> TowerClassify<M, fn(&M::FailureClass) -> Verdict>
where
    M: MakeClassifier,
    M::FailureClass: Failure,
{
    /// Judges by the classifiers that `make` makes, for the classes of failures of `tower_http`.
    pub fn new(make: M) -> Self {
        Self::with(make, M::FailureClass::verdict)
    }
}

impl<M, V> TowerClassify<M, V> {
    /// Judges by the classifiers that `make` makes; `verdict`, a function of a reference to a class
    /// of failures, says what they mean.
    pub fn with(make: M, verdict: V) -> Self {
        Self { make, verdict, asks: HttpClassify::default() }
    }

    /// What requests ask is said by `asks`.
    #[must_use]
    pub fn asks(mut self, asks: HttpClassify) -> Self {
        self.asks = asks;
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
            judge: self.asks.classify(request),
        }
    }
}

/// The judge of [`TowerClassify`].
#[derive(Clone, Copy)]
pub struct TowerClassifier<C, V> {
    classifier: C,
    verdict: V,
    judge: HttpClassifier,
}

impl<C, V> HasInfo for TowerClassifier<C, V> {
    fn info(&self) -> &RequestInfo {
        self.judge.info()
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
        // A classifier is used up by an answer, and a judge may be asked again.
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
        f.debug_struct("TowerClassify").field("asks", &self.asks).finish_non_exhaustive()
    }
}

impl<C, V> std::fmt::Debug for TowerClassifier<C, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TowerClassifier").field("judge", &self.judge).finish_non_exhaustive()
    }
}

/// A class of failures that says what it means.
pub trait Failure {
    /// What an answer of this class says, its header fields aside.
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
    /// A status that is none of the failures of HTTP but lies in the range is permanent: who chose
    /// the range knows why, and nobody else.
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
            // 0 is none of its failures: who does not count it among the successes means trouble.
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

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(()).unwrap()
    }

    #[test]
    fn the_servers_errors_are_failures_and_mean_what_http_says() {
        let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
        let judge = classify.classify(&Request::new(()));
        let head = |status, fields: &[_]| judge.classify(Ok(&answer(status, fields)));
        assert_eq!(head(200, &[]), Verdict::success());
        assert_eq!(head(429, &[]), Verdict::success());
        assert_eq!(head(500, &[]), Verdict::unknown());
        let wait = Duration::from_secs(3);
        let expected = Verdict::transient(Effect::Maybe).retry_after(wait);
        assert_eq!(head(503, &[("retry-after", "3")]), expected);
    }

    #[test]
    fn a_range_of_statuses_is_what_it_says() {
        let range = StatusInRangeAsFailures::new(302..=429).into_make_classifier();
        let judge = TowerClassify::new(range).classify(&Request::new(()));
        assert_eq!(judge.classify(Ok(&answer(302, &[]))), Verdict::permanent());
        assert_eq!(judge.classify(Ok(&answer(429, &[]))), Verdict::throttled());
        assert_eq!(judge.classify(Ok(&answer(503, &[]))), Verdict::success());
    }

    #[test]
    fn grpc_in_the_head_is_judged_by_our_table_and_the_rest_at_its_end() {
        let make = GrpcErrorsAsFailures::new().with_success(GrpcCode::NotFound);
        let judge = TowerClassify::new(SharedClassifier::new(make)).classify(&Request::new(()));
        let head = |fields: &[_]| judge.classify(Ok(&answer(200, fields)));
        assert_eq!(head(&[]), Verdict::success());
        assert_eq!(head(&[("grpc-status", "5")]), Verdict::success());
        assert_eq!(head(&[("grpc-status", "3")]), Verdict::permanent());
        let pushed = head(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")]);
        assert_eq!(pushed, Verdict::transient(Effect::Maybe).advice(Advice::Stop));
    }

    #[test]
    fn errors_are_judged_by_whether_the_request_left_and_extensions_are_believed() {
        let make = ServerErrorsAsFailures::make_classifier();
        let asks = HttpClassify::new(Operation::new(3, "fetch"));
        let judge = TowerClassify::with(make, |_: &_| Verdict::permanent())
            .asks(asks)
            .classify(&Request::new(()));
        let info = judge.info();
        assert_eq!((info.operation.name(), info.replay), ("fetch", Replay::Safe));
        let error: BoxError = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        let rejected = ClassifyResponse::<Response<()>>::classify(&judge, Err(&error));
        assert_eq!(rejected, Verdict::transient(Effect::None));
        assert_eq!(judge.classify(Ok(&answer(500, &[]))), Verdict::permanent());
        let mut full = answer(StatusCode::TOO_MANY_REQUESTS.as_u16(), &[]);
        full.extensions_mut().insert(Verdict::exhausted());
        assert_eq!(judge.classify(Ok(&full)), Verdict::exhausted());
    }
}
