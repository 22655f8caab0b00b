use tower::ServiceBuilder;
use tower_layer::Stack;

/// The layers of sandtower in a chain, each with the classifier that tells it what requests ask and
/// what answers say. Each stands below those named before it.
///
/// ```
/// # #[cfg(all(feature = "circuit-breaker", feature = "retry", feature = "timeout"))]
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sandtower::core::BoxError> {
/// use std::time::Duration;
/// use sandtower::ServiceBuilderExt as _;
/// use sandtower::circuit_breaker::CircuitBreaker;
/// use sandtower::core::{RequestInfo, ByResult, Replay};
/// use sandtower::retry::RetryLayer;
/// use sandtower::timeout::Limits;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
/// let breaker = CircuitBreaker::classic("prices");
/// let service = ServiceBuilder::new()
///     .call_deadline(Limits::all(Duration::from_secs(30)), classify)
///     .retry_by_verdict(RetryLayer::recommended(), classify)
///     .break_circuit(breaker.clone(), classify)
///     .attempt_timeout(Limits::all(Duration::from_secs(3)), classify)
///     .service(service_fn(|item: u32| async move { Ok::<_, std::io::Error>(item * 2) }));
///
/// assert_eq!(service.oneshot(21).await?, 42);
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "circuit-breaker", feature = "retry", feature = "timeout")))]
/// # fn main() {}
/// ```
pub trait ServiceBuilderExt<L>: Sized {
    /// Adds any layer: what all others are made with.
    fn add<T>(self, layer: T) -> ServiceBuilder<Stack<T, L>>;

    /// Bounds whole calls. Outermost.
    #[cfg(feature = "timeout")]
    fn call_deadline<C>(
        self,
        limits: crate::timeout::Limits,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::timeout::DeadlineLayer<C>, L>> {
        self.add(crate::timeout::DeadlineLayer::new(limits).classify(classify))
    }

    /// Answers what failed by an alternative.
    #[cfg(feature = "fallback")]
    fn fall_back<M, D, C>(
        self,
        layer: crate::fallback::FallbackLayer<M, D>,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::fallback::FallbackLayer<M, C>, L>> {
        self.add(layer.classify(classify))
    }

    /// Tries again what failed.
    #[cfg(feature = "retry")]
    fn retry_by_verdict<D, R, A, K, C>(
        self,
        layer: crate::retry::RetryLayer<D, R, A, K>,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::retry::RetryLayer<C, R, A, K>, L>> {
        self.add(layer.classify(classify))
    }

    /// Checks what is handed out.
    #[cfg(feature = "health-check")]
    fn check_answers<K, D, C>(
        self,
        layer: crate::health_check::HealthCheckLayer<K, D>,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::health_check::HealthCheckLayer<K, C>, L>> {
        self.add(layer.classify(classify))
    }

    /// Puts a waiting room before what is below. Gates that are in the room must not follow.
    #[cfg(feature = "admission")]
    fn wait_in<G, C>(
        self,
        room: crate::admission::AdmissionControl<G>,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::admission::AdmissionLayer<G, C>, L>> {
        self.add(crate::admission::AdmissionLayer::in_room(room).classify(classify))
    }

    /// Counts attempts, and rejects what is too much if it is told to.
    #[cfg(feature = "rate-limit")]
    fn limit_rate<C>(
        self,
        limit: crate::rate_limit::RateLimit,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::rate_limit::RateLimitLayer<C>, L>> {
        self.add(crate::rate_limit::RateLimitLayer::new(limit).classify(classify))
    }

    /// Stops calling what is dead.
    #[cfg(feature = "circuit-breaker")]
    fn break_circuit<C>(
        self,
        breaker: crate::circuit_breaker::CircuitBreaker,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::circuit_breaker::CircuitBreakerLayer<C>, L>> {
        self.add(crate::circuit_breaker::CircuitBreakerLayer::new(breaker).classify(classify))
    }

    /// Bounds each attempt. Below everything that waits.
    #[cfg(feature = "timeout")]
    fn attempt_timeout<C>(
        self,
        limits: crate::timeout::Limits,
        classify: C,
    ) -> ServiceBuilder<Stack<crate::timeout::TimeoutLayer<C>, L>> {
        self.add(crate::timeout::TimeoutLayer::new(limits).classify(classify))
    }

    /// Reads what answers say before anyone judges them. Innermost.
    #[cfg(feature = "http")]
    fn interpret<I>(
        self,
        interpret: I,
    ) -> ServiceBuilder<Stack<crate::http::InterpretLayer<I>, L>> {
        self.add(crate::http::InterpretLayer::new(interpret))
    }

    /// The whole [stack](crate::stack) for calls of E2B.
    #[cfg(feature = "e2b")]
    fn e2b_stack<F>(
        self,
        stack: crate::stack::Stack<F>,
    ) -> ServiceBuilder<Stack<crate::stack::Stack<F>, L>> {
        self.add(stack)
    }
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn add<T>(self, layer: T) -> ServiceBuilder<Stack<T, L>> {
        self.layer(layer)
    }
}
