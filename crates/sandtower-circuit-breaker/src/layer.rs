use sandtower_core::{ByResult, Gated, GatedLayer};
use sandtower_time::TokioClock;
use tower_layer::Layer;

use crate::{CircuitBreaker, CircuitBreakers, Config, ConfigError};

/// Puts a [`CircuitBreaker`] before a service.
///
/// All services made by one layer, and by its clones, share its breaker. By default every response
/// is a success and every error a failure; [`classify`](Self::classify) tells more.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
/// use sandtower_core::{Reason, Rejection, find};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker = CircuitBreaker::classic("E2B");
/// let layer = CircuitBreakerLayer::new(breaker.clone());
/// let service = layer.layer(service_fn(async |_: ()| Err::<(), _>("down")));
///
/// for _ in 0..5 {
///     assert_eq!(service.clone().oneshot(()).await.unwrap_err().to_string(), "down");
/// }
/// let error = service.clone().oneshot(()).await.unwrap_err();
/// let rejection = find::<Rejection>(&*error).unwrap();
/// assert_eq!(rejection.reason(), Reason::Open { failed: 5, of: 5 });
///
/// breaker.reset();
/// # }
/// ```
///
/// With [`scoped`](Self::scoped) it keeps a breaker for each scope instead.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer<C = ByResult, B = CircuitBreaker> {
    shell: GatedLayer<B, C, TokioClock>,
}

/// A service behind a [`CircuitBreaker`], made by a [`CircuitBreakerLayer`]. Not to be confused
/// with the breaker, which is the handle and has that name since it is what users hold.
///
/// `poll_ready` is answered by the breaker alone while it rejects, without touching `S`; it fails
/// only if `S` does. `call` decides without waiting and allocates nothing but the error of a
/// rejection. Errors are those of `S`, boxed, or a [`Rejection`](sandtower_core::Rejection).
///
/// Dropping the future of a call that was sent tells the breaker: an attempt that was out for the
/// [expected time](crate::Config::expected) then counts as a failure, and a probe frees its place.
pub type CircuitBreakerService<S, C = ByResult, B = CircuitBreaker> = Gated<S, B, C, TokioClock>;

/// The answer of a [`CircuitBreakerService`], or its breaker's rejection: over the future `F` of the
/// service and the judge `J` of its classifier.
pub type ResponseFuture<F, J, B = CircuitBreaker> =
    sandtower_core::ResponseFuture<F, J, B, TokioClock>;

impl CircuitBreakerLayer {
    /// Services made by this layer share `breaker`.
    pub fn new(breaker: CircuitBreaker) -> Self {
        Self { shell: GatedLayer::new(breaker, ByResult::default(), TokioClock) }
    }
}

impl CircuitBreakerLayer<ByResult, CircuitBreakers> {
    /// Services made by this layer share `breakers`, of which each request asks the one of its
    /// scope. Tell scopes apart by [`classify`](Self::classify).
    pub fn scoped(breakers: CircuitBreakers) -> Self {
        Self { shell: GatedLayer::new(breakers, ByResult::default(), TokioClock) }
    }
}

impl<C, B: Clone> CircuitBreakerLayer<C, B> {
    /// Judges answers by `classify`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> CircuitBreakerLayer<D, B> {
        let breaker = self.breaker().clone();
        CircuitBreakerLayer { shell: GatedLayer::new(breaker, classify, TokioClock) }
    }

    /// The breaker, or the breakers, that all services of this layer share.
    pub fn breaker(&self) -> &B {
        self.shell.gate()
    }
}

impl From<CircuitBreaker> for CircuitBreakerLayer {
    fn from(breaker: CircuitBreaker) -> Self {
        Self::new(breaker)
    }
}

impl TryFrom<Config> for CircuitBreakerLayer {
    type Error = ConfigError;

    /// # Errors
    ///
    /// The configuration makes no sense.
    fn try_from(config: Config) -> Result<Self, ConfigError> {
        config.build().map(Self::new)
    }
}

impl<S, C: Clone, B: Clone> Layer<S> for CircuitBreakerLayer<C, B> {
    type Service = CircuitBreakerService<S, C, B>;

    fn layer(&self, inner: S) -> Self::Service {
        self.shell.layer(inner)
    }
}
