use crate::admission::{AdmissionLayer, Config};
use crate::rate_limit::RateLimit;

/// A layer whose callers wait for `limit` instead of being rejected by it: admission control without a
/// limit on concurrency, and with the rate limit as its gate.
///
/// Callers wait in order of arrival, at most 1,024 for each operation, each for at most two minutes once
/// calls have waited for a second. A call that cannot be served before its deadline is rejected
/// immediately. Every layer over one [`RateLimit`] has its own queue.
///
/// ```
/// use sandtower::core::{BoxError, ByResult, Operation};
/// use sandtower::rate_limit::{Config, Pace, RateLimit};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let limit = RateLimit::new(Config::new("E2B").pace(Operation::CALL, Pace::PRO_CREATIONS))?;
/// let service = sandtower::rate_limit_queue(limit)
///     .classify(ByResult::default())
///     .layer(service_fn(async |name: &str| Ok::<_, BoxError>(name.len())));
/// assert_eq!(service.oneshot("a sandbox").await?, 9);
/// # Ok(()) }
/// ```
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "it never panics: the configuration is a constant that a test builds"
)]
pub fn rate_limit_queue(limit: RateLimit) -> AdmissionLayer<RateLimit> {
    let config = Config::new(limit.name()).concurrency(u32::MAX);
    AdmissionLayer::with_gates(config, limit).expect("a limit above 0 is valid")
}
