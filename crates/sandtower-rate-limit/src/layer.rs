use sandtower_core::{ByResult, Gated, GatedLayer};
use sandtower_time::TokioClock;
use tower_layer::Layer;

use crate::RateLimit;

/// A service behind a [`RateLimit`]: made by a [`RateLimitLayer`].
pub type RateLimited<S, C = ByResult> = Gated<S, RateLimit, C, TokioClock>;

/// Records every attempt, and rejects what is too much if its [`RateLimit`] is told to enforce.
///
/// It decides in `call` and waits for nothing: a caller that is rejected gets a
/// [`Rejection`](sandtower_core::Rejection) that says when to come back. Who wants to wait instead
/// takes a [`PaceLayer`](crate::PaceLayer), or puts the [`RateLimit`] into a waiting room as a gate,
/// and not this layer around it.
///
/// An attempt that was sent counts, though its caller drops it before it is answered.
///
/// Place it inside retries, so that each attempt is counted. Without a
/// [classifier](RateLimitLayer::classify) all requests are one operation and answers teach nothing.
///
/// ```
/// use sandtower_core::{RequestInfo, BoxError, Operation, Verdict, classify_fn};
/// use sandtower_rate_limit::RateLimitLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
///
/// let layer = RateLimitLayer::classic().classify(classify_fn(
///     |_: &&str| RequestInfo::new(CREATE),
///     |_: Result<&usize, &BoxError>| Verdict::success(),
/// ));
/// let limit = layer.handle().clone();
/// let service = layer.layer(service_fn(async |name: &str| Ok::<_, BoxError>(name.len())));
///
/// assert_eq!(service.oneshot("a sandbox").await?, 9);
/// assert_eq!(limit.status(CREATE).remaining, Some(99));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer<C = ByResult> {
    inner: GatedLayer<RateLimit, C, TokioClock>,
}

impl RateLimitLayer {
    /// Every service made by this layer and by its clones shares `limit`.
    pub fn new(limit: RateLimit) -> Self {
        Self { inner: GatedLayer::new(limit, ByResult::default(), TokioClock) }
    }

    /// Observes as [`Config::classic`](crate::Config::classic) says.
    pub fn classic() -> Self {
        Self::new(RateLimit::classic())
    }
}

impl<C> RateLimitLayer<C> {
    /// Tells operations apart, and what answers say, by `classify`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> RateLimitLayer<D> {
        let limit = self.handle().clone();
        RateLimitLayer { inner: GatedLayer::new(limit, classify, TokioClock) }
    }

    /// Reads and steers the limit.
    pub fn handle(&self) -> &RateLimit {
        self.inner.gate()
    }
}

impl<S, C: Clone> Layer<S> for RateLimitLayer<C> {
    type Service = RateLimited<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        self.inner.layer(inner)
    }
}
