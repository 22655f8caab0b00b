use std::sync::Arc;

use crate::{BoxError, EndOfStream, HasInfo, RequestInfo, Verdict, error::verdict_of_error};

/// Reads the info of a request, and makes the classifier of its response.
///
/// Classification has two steps, since a response does not name its request: the request is looked at
/// before it is sent, and the [`ClassifyResponse`] made from it looks at what comes back. Every layer of
/// a stack classifies for itself, so keep both steps cheap and free of allocation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not classify a `{Req}`",
    label = "not a `Classify<{Req}>`",
    note = "for HTTP use `HttpClassify`, for gRPC `GrpcClassify`, both of `sandtower-http`",
    note = "`classify_fn(info, verdict)` makes one of two closures whose arguments have types: \
            `|request: &{Req}| -> RequestInfo` and `|result: Result<&Response, &BoxError>| -> Verdict`",
    note = "`ByResult::default()` takes every error for a failure"
)]
pub trait Classify<Req: ?Sized> {
    /// Classifies the response to one request: a [`ClassifyResponse`] for the response type at hand.
    type Classifier;

    /// Reads the info of `request`, and makes the classifier of its response.
    fn classify(&self, request: &Req) -> Self::Classifier;
}

/// Classifies the response to one request.
///
/// It never reads a body: its verdict is on the head of a response, and final, unless the response
/// has an [end](ClassifyResponse::end_of_stream) of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not classify a `{Res}`",
    label = "not a `ClassifyResponse<{Res}>`",
    note = "the classifier and the service below have to agree on the type of the response",
    note = "a closure classifies the type that its argument has: `|result: Result<&{Res}, &BoxError>|`"
)]
pub trait ClassifyResponse<Res: ?Sized>: HasInfo {
    /// The verdict on a response, or on the error instead of one.
    ///
    /// Layers call [`judge`], which asks the error itself first.
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict;

    /// What reports how `response` ended, if its head said success and its outcome stands only at its
    /// end. `None` by default: the head is final.
    ///
    /// A retry goes by the head alone: what the caller has begun to read is not sent again.
    fn end_of_stream(&self, _response: &Res) -> Option<EndOfStream> {
        None
    }

    /// The HTTP status of `response`, for [explanations](crate::Explanation). `None` by default: it has
    /// none.
    fn status(&self, _response: &Res) -> Option<u16> {
        None
    }
}

/// The verdict on `result`: an error that speaks for itself ([`verdict_of_error`]) is believed
/// before the `judge` is asked.
pub fn judge<J, Res>(judge: &J, result: Result<&Res, &BoxError>) -> Verdict
where
    J: ClassifyResponse<Res>,
{
    match result {
        Err(error) => verdict_of_error(&**error).unwrap_or_else(|| judge.classify(Err(error))),
        Ok(response) => judge.classify(Ok(response)),
    }
}

/// Takes every response for a success and every error for an unknown failure.
///
/// For services of which no more is known. All requests are one operation that is not replayed
/// after it may have had an effect, unless [`ByResult::new`] is given another.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult {
    info: RequestInfo,
}

impl ByResult {
    /// Every request asks `asked`.
    pub fn new(info: RequestInfo) -> Self {
        Self { info }
    }
}

impl<Req: ?Sized> Classify<Req> for ByResult {
    type Classifier = ByResultClassifier;

    fn classify(&self, _request: &Req) -> ByResultClassifier {
        ByResultClassifier { info: self.info }
    }
}

/// The response classifier of [`ByResult`].
#[derive(Clone, Copy, Debug)]
pub struct ByResultClassifier {
    info: RequestInfo,
}

impl HasInfo for ByResultClassifier {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<Res: ?Sized> ClassifyResponse<Res> for ByResultClassifier {
    #[inline]
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        }
    }
}

/// A classifier made of two functions: the info of a request, and the verdict on its result.
///
/// ```
/// use sandtower_core::{RequestInfo, BoxError, Effect, Operation, Verdict, classify_fn};
///
/// let classify = classify_fn(
///     |request: &u16| RequestInfo::new(Operation::CALL),
///     |result: Result<&u16, &BoxError>| match result {
///         Ok(503) => Verdict::transient(Effect::None),
///         Ok(_) => Verdict::success(),
///         Err(_) => Verdict::unknown(),
///     },
/// );
/// # let _ = classify;
/// ```
///
/// Both closures need the types of their arguments, as here. Calls can be spawned; where the type of the
/// response names a `'static` inside, such as `Response<BoxBody<Bytes, BoxError>>`, spawn the future of
/// the call itself and not an `async` block around it, or box the service.
#[doc(alias = "predicate")]
pub fn classify_fn<Req, Res, I, V>(info: I, verdict: V) -> ClassifyFn<Req, Res>
where
    Req: ?Sized,
    I: Fn(&Req) -> RequestInfo + Send + Sync + 'static,
    V: Fn(Result<&Res, &BoxError>) -> Verdict + Send + Sync + 'static,
{
    ClassifyFn { info: Arc::new(info), verdict: Arc::new(verdict) }
}

// Not generic over the closures: the compiler could not see that a future with a closure's type in it,
// whose signature names `dyn Error + 'static`, may be spawned (rust-lang/rust#110338). And these types
// have names.
type Info<Req> = Arc<dyn Fn(&Req) -> RequestInfo + Send + Sync>;
type OnResult<Res> = Arc<dyn Fn(Result<&Res, &BoxError>) -> Verdict + Send + Sync>;

/// The classifier of [`classify_fn`].
pub struct ClassifyFn<Req: ?Sized, Res> {
    info: Info<Req>,
    verdict: OnResult<Res>,
}

impl<Req: ?Sized, Res> Clone for ClassifyFn<Req, Res> {
    fn clone(&self) -> Self {
        Self { info: Arc::clone(&self.info), verdict: Arc::clone(&self.verdict) }
    }
}

impl<Req: ?Sized, Res> Classify<Req> for ClassifyFn<Req, Res> {
    type Classifier = FnClassifier<Res>;

    fn classify(&self, request: &Req) -> FnClassifier<Res> {
        FnClassifier { info: (self.info)(request), verdict: Arc::clone(&self.verdict) }
    }
}

/// The response classifier of [`ClassifyFn`].
pub struct FnClassifier<Res> {
    info: RequestInfo,
    verdict: OnResult<Res>,
}

impl<Res> Clone for FnClassifier<Res> {
    fn clone(&self) -> Self {
        Self { info: self.info, verdict: Arc::clone(&self.verdict) }
    }
}

impl<Res> HasInfo for FnClassifier<Res> {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<Res> ClassifyResponse<Res> for FnClassifier<Res> {
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        (self.verdict)(result)
    }
}

impl<Req: ?Sized, Res> std::fmt::Debug for ClassifyFn<Req, Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClassifyFn").finish_non_exhaustive()
    }
}

impl<Res> std::fmt::Debug for FnClassifier<Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnClassifier").field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, Rejection};

    #[test]
    fn a_rejection_is_recognised_before_the_users_classifier_is_asked() {
        let generous = classify_fn(
            |_: &()| RequestInfo::default(),
            |_: Result<&(), &BoxError>| Verdict::success(),
        );
        let error: BoxError = Rejection::new("admission", "E2B", Reason::Draining).into();
        let verdict = judge(&generous.classify(&()), Err::<&(), _>(&error));
        assert_eq!(verdict, Verdict::rejected());
    }

    #[test]
    fn without_a_classifier_an_error_is_unknown_and_may_have_had_an_effect() {
        let error: BoxError = "broken".into();
        let judged = judge(&ByResult::default().classify(&()), Err::<&(), _>(&error));
        assert_eq!(judged, Verdict::unknown());
    }
}
