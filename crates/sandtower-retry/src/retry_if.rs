use std::sync::Arc;

use sandtower_core::{
    BoxError, Classify, ClassifyResponse, Effect, HasInfo, Replay, RequestInfo, Verdict,
};

/// Classifies results by a predicate: `true` means that the call failed, and that sending its request
/// again does no harm.
///
/// Any other response is a success, any other error is permanent. An error that speaks for itself is
/// not shown to the predicate: a rejection of a layer below is never retried, a timeout always is.
pub struct RetryIf<Res> {
    // Not generic over the closure, so that calls can be spawned: see `classify_fn`.
    retry: Arc<Predicate<Res>>,
    info: RequestInfo,
}

type Predicate<Res> = dyn Fn(Result<&Res, &BoxError>) -> bool + Send + Sync;

impl<Res> RetryIf<Res> {
    /// Retries if `retry` returns `true`.
    ///
    /// ```
    /// use sandtower_core::BoxError;
    /// use sandtower_retry::{Config, RetryIf, RetryLayer};
    ///
    /// let busy = RetryIf::new(|result: Result<&u16, &BoxError>| matches!(result, Ok(503) | Err(_)));
    /// let layer = RetryLayer::new(Config::classic(), busy);
    /// # let _ = layer;
    /// ```
    pub fn new(retry: impl Fn(Result<&Res, &BoxError>) -> bool + Send + Sync + 'static) -> Self {
        Self { retry: Arc::new(retry), info: RequestInfo::default().replay(Replay::Safe) }
    }
}

impl<Req: ?Sized, Res> Classify<Req> for RetryIf<Res> {
    type Classifier = Self;

    fn classify(&self, _request: &Req) -> Self {
        self.clone()
    }
}

impl<Res> HasInfo for RetryIf<Res> {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<Res> ClassifyResponse<Res> for RetryIf<Res> {
    #[inline]
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            _ if (self.retry)(result) => Verdict::transient(Effect::None),
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::permanent(),
        }
    }
}

impl<Res> Clone for RetryIf<Res> {
    fn clone(&self) -> Self {
        Self { retry: Arc::clone(&self.retry), info: self.info }
    }
}

impl<Res> std::fmt::Debug for RetryIf<Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryIf").finish_non_exhaustive()
    }
}
