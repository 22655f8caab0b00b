use std::sync::Arc;

use sandtower_core::{ByResult, Gated, GatedLayer};
use tower_layer::Layer;

use crate::{CircuitBreaker, CircuitBreakers, Config, ConfigError, FailureIf};

/// Puts a [`CircuitBreaker`] before a service.
///
/// All services made by one layer, and by its clones, share its breaker. By default every response is
/// a success and every error a failure; see [`failure_if`](Self::failure_if) and
/// [`classify`](Self::classify).
///
/// ```
/// use sandtower_circuit_breaker::CircuitBreakerLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let layer = CircuitBreakerLayer::new("search").failure_if(|status: &u16| *status >= 500);
/// let service = layer.layer(service_fn(async |_: ()| Ok::<u16, std::io::Error>(503)));
///
/// assert_eq!(service.oneshot(()).await.unwrap(), 503);
/// assert_eq!(layer.breaker().snapshot().recent_failures, 1);
/// # }
/// ```
///
/// An open breaker rejects calls with a [`Rejection`](sandtower_core::Rejection):
///
/// ```
/// use sandtower_circuit_breaker::CircuitBreakerLayer;
/// use sandtower_core::{Reason, Rejection, find};
/// # use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let layer = CircuitBreakerLayer::new("search");
/// # let service = layer.layer(service_fn(async |_: ()| Ok::<_, std::io::Error>(())));
/// layer.breaker().force_open();
/// let error = service.oneshot(()).await.unwrap_err();
/// let rejection = find::<Rejection>(&*error).unwrap();
/// assert_eq!(rejection.reason(), Reason::ForcedOpen);
/// # }
/// ```
///
/// The service is a [`Gated`]: it is ready while the breaker rejects every call, without touching the
/// inner service; it needs `Clone` of the inner service, to give up readiness that it will not use;
/// and it allocates nothing but the error of a rejection. Dropping the future of a call that was sent
/// tells the breaker: an attempt that was in flight for the [expected time](Config::expected) counts
/// as a failure, and a probe frees its slot.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer<C = ByResult, B = CircuitBreaker> {
    shell: GatedLayer<B, C>,
}

impl CircuitBreakerLayer {
    /// A layer with a breaker of its own, with the numbers of [`Config::recommended`].
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::from_breaker(CircuitBreaker::recommended(name))
    }

    /// Services made by this layer share `breaker` with all that hold it.
    pub fn from_breaker(breaker: CircuitBreaker) -> Self {
        Self { shell: GatedLayer::new(breaker, ByResult::default()) }
    }
}

impl CircuitBreakerLayer<ByResult, CircuitBreakers> {
    /// Services made by this layer share `breakers`: each request is sent through the breaker of its
    /// scope, which [`classify`](Self::classify) tells.
    pub fn scoped(breakers: CircuitBreakers) -> Self {
        Self { shell: GatedLayer::new(breakers, ByResult::default()) }
    }
}

impl<C, B: Clone> CircuitBreakerLayer<C, B> {
    /// Counts responses as failures if `failure` returns `true`, and every error.
    #[doc(alias = "predicate")]
    #[doc(alias = "failure_classifier")]
    #[must_use]
    pub fn failure_if<Res>(
        self,
        failure: impl Fn(&Res) -> bool + Send + Sync + 'static,
    ) -> CircuitBreakerLayer<FailureIf<Res>, B> {
        self.classify(FailureIf::new(failure))
    }

    /// Classifies requests and responses with `classify`, a
    /// [`Classify`](sandtower_core::Classify).
    #[must_use]
    pub fn classify<D>(self, classify: D) -> CircuitBreakerLayer<D, B> {
        let breaker = self.breaker().clone();
        CircuitBreakerLayer { shell: GatedLayer::new(breaker, classify) }
    }

    /// The breaker, or the breakers, that all services of this layer share.
    pub fn breaker(&self) -> &B {
        self.shell.gate()
    }
}

impl From<CircuitBreaker> for CircuitBreakerLayer {
    fn from(breaker: CircuitBreaker) -> Self {
        Self::from_breaker(breaker)
    }
}

impl TryFrom<Config> for CircuitBreakerLayer {
    type Error = ConfigError;

    /// # Errors
    ///
    /// The configuration is invalid.
    fn try_from(config: Config) -> Result<Self, ConfigError> {
        config.build().map(Self::from_breaker)
    }
}

impl<S, C: Clone, B: Clone> Layer<S> for CircuitBreakerLayer<C, B> {
    type Service = Gated<S, B, C>;

    fn layer(&self, inner: S) -> Self::Service {
        self.shell.layer(inner)
    }
}
