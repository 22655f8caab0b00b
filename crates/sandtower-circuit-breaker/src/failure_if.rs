use sandtower_core::{BoxError, Classify, ClassifyResponse, HasInfo, RequestInfo, Verdict};

/// Classifies responses by a function: from
/// [`CircuitBreakerLayer::failure_if`](crate::CircuitBreakerLayer::failure_if).
#[derive(Clone, Copy)]
pub struct FailureIf<F> {
    failure: F,
    info: RequestInfo,
}

impl<F> FailureIf<F> {
    pub(crate) fn new(failure: F) -> Self {
        Self { failure, info: RequestInfo::default() }
    }
}

impl<Req: ?Sized, F: Clone> Classify<Req> for FailureIf<F> {
    type Classifier = Self;

    fn classify(&self, _request: &Req) -> Self {
        self.clone()
    }
}

impl<F> HasInfo for FailureIf<F> {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<Res, F: Fn(&Res) -> bool> ClassifyResponse<Res> for FailureIf<F> {
    #[inline]
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            Ok(response) if !(self.failure)(response) => Verdict::success(),
            Ok(_) | Err(_) => Verdict::unknown(),
        }
    }
}

impl<F> std::fmt::Debug for FailureIf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailureIf").finish_non_exhaustive()
    }
}
