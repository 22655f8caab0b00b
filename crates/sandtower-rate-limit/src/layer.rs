use std::num::NonZeroU32;
use std::time::Duration;

use sandtower_core::{ByResult, Gated, GatedLayer, Operation};
use tower_layer::Layer;

use crate::{Config, Pace, RateLimit};

/// A service behind a [`RateLimit`], made by a [`RateLimitLayer`].
pub type RateLimited<S, C = ByResult> = Gated<S, RateLimit, C>;

/// Counts every attempt, and rejects what is beyond a limit.
///
/// It decides in `call` and never waits: a rejected caller gets a
/// [`Rejection`](sandtower_core::Rejection) that says when to come back. To make callers wait
/// instead, hand the [`RateLimit`] to admission control as a gate, and leave out this layer.
///
/// An attempt that was sent counts, also when its caller drops it before the response.
///
/// Place it inside retries, so that each attempt is counted.
///
/// ```
/// use std::num::NonZeroU32;
/// use sandtower_core::{BoxError, Rejection, find};
/// use sandtower_rate_limit::RateLimitLayer;
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let layer = RateLimitLayer::per_second(NonZeroU32::new(5).unwrap());
/// let mut service = layer.layer(service_fn(async |text: &str| Ok::<_, BoxError>(text.len())));
///
/// for _ in 0..5 {
///     assert_eq!(service.ready().await?.call("hello").await?, 5);
/// }
/// let error = service.ready().await?.call("hello").await.unwrap_err();
/// assert!(find::<Rejection>(&*error).is_some());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer<C = ByResult> {
    inner: GatedLayer<RateLimit, C>,
}

impl RateLimitLayer {
    /// At most `rate` calls in any second: up to `rate` of them at once after a rest. Rejects the
    /// others. All requests are one operation.
    pub fn per_second(rate: NonZeroU32) -> Self {
        Self::per(rate, Duration::from_secs(1))
    }

    /// The same by the minute.
    pub fn per_minute(rate: NonZeroU32) -> Self {
        Self::per(rate, Duration::from_secs(60))
    }

    fn per(rate: NonZeroU32, span: Duration) -> Self {
        let pace = Pace::every(span / rate.get()).burst(rate.get());
        let limit = RateLimit::checked(Config::new("service").pace(Operation::CALL, pace), None);
        Self::new(limit, ByResult::default())
    }
}

impl<C> RateLimitLayer<C> {
    /// Every service made by this layer and by its clones shares `limit`.
    ///
    /// `classify` tells operations apart, whose limits they are, and what responses say of the
    /// server's own limit. `ByResult` takes all requests for one operation,
    /// [`Operation::CALL`], and learns nothing.
    pub fn new(limit: RateLimit, classify: C) -> Self {
        Self { inner: GatedLayer::new(limit, classify) }
    }

    /// Watches as [`Config::classic`] says, and rejects nothing.
    pub fn classic(classify: C) -> Self {
        Self::new(RateLimit::classic(), classify)
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
