use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{RequestInfo, Verdict};

/// A retry that was decided on: what [`RetryLayer::on_retry`](crate::RetryLayer::on_retry) is called
/// with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryEvent {
    /// The request: its operation, its scope.
    pub info: RequestInfo,
    /// The attempt that failed; 1 for the first.
    pub attempt: u32,
    /// How it failed.
    pub verdict: Verdict,
    /// The wait before the next attempt. Zero for a call that goes back to the queue below.
    pub wait: Duration,
}

/// What is called before each retry.
#[derive(Clone, Default)]
pub(crate) struct OnRetry(Option<Arc<Hook>>);

type Hook = dyn Fn(&RetryEvent) + Send + Sync;

impl OnRetry {
    pub(crate) fn new(hook: impl Fn(&RetryEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn call(&self, event: &RetryEvent) {
        if let Some(hook) = &self.0 {
            hook(event);
        }
    }
}

impl std::fmt::Debug for OnRetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}
