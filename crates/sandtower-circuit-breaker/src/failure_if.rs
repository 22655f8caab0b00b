use std::sync::Arc;

use sandtower_core::{BoxError, Classify, ClassifyResponse, HasInfo, RequestInfo, Verdict};

/// Classifies responses by a function: from
/// [`CircuitBreakerLayer::failure_if`](crate::CircuitBreakerLayer::failure_if).
pub struct FailureIf<Res> {
    // Not generic over the closure, so that calls can be spawned: see `classify_fn`.
    failure: Arc<dyn Fn(&Res) -> bool + Send + Sync>,
    info: RequestInfo,
}

impl<Res> FailureIf<Res> {
    pub(crate) fn new(failure: impl Fn(&Res) -> bool + Send + Sync + 'static) -> Self {
        Self { failure: Arc::new(failure), info: RequestInfo::default() }
    }
}

impl<Res> Clone for FailureIf<Res> {
    fn clone(&self) -> Self {
        Self { failure: Arc::clone(&self.failure), info: self.info }
    }
}

impl<Req: ?Sized, Res> Classify<Req> for FailureIf<Res> {
    type Classifier = Self;

    fn classify(&self, _request: &Req) -> Self {
        self.clone()
    }
}

impl<Res> HasInfo for FailureIf<Res> {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<Res> ClassifyResponse<Res> for FailureIf<Res> {
    #[inline]
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            Ok(response) if !(self.failure)(response) => Verdict::success(),
            Ok(_) | Err(_) => Verdict::unknown(),
        }
    }
}

impl<Res> std::fmt::Debug for FailureIf<Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailureIf").finish_non_exhaustive()
    }
}
