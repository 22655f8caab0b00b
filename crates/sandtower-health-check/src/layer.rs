use std::sync::Arc;

use sandtower_core::ByResult;
use tower_layer::Layer;

use crate::unchecked::Shared;
use crate::{Config, ConfigError, Handle, HealthCheck, ledger::Ledger};

/// Checks what services hand out, by a [`Check`](crate::Check).
///
/// Each successful answer is probed before its caller gets it; the layer neither slows down nor
/// touches any other. See [the crate](crate) for its place and an example.
///
/// Nothing is left behind: an answer that fails, or whose caller goes while it is checked, is
/// released by a spawned task, which the [handle](HealthCheckLayer::handle) can
/// [wait for](Handle::drain). What was being made when its caller went, and had not been answered,
/// is out of this layer's sight.
///
/// # Events
///
/// With the target `sandtower::health_check`, all `WARN`: an answer failed its check (`name`,
/// `operation`, `probes`, `last`, `handed_out`), and a release was cut short (`name`).
#[derive(Clone, Debug)]
pub struct HealthCheckLayer<K, C = ByResult> {
    check: K,
    classify: C,
    config: Config,
    handle: Handle,
}

impl<K> HealthCheckLayer<K> {
    /// Checks by `check`, as `config` says. Unless told [otherwise](HealthCheckLayer::classify), all
    /// requests are one operation, and every answer that is no error is a success.
    ///
    /// # Errors
    ///
    /// The config makes no sense; the error says what would.
    pub fn new(check: K, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::checked(check, config))
    }

    /// Checks by `check`, as [`Config::classic`] says: it warns and passes on.
    pub fn classic(check: K) -> Self {
        Self::checked(check, Config::classic())
    }

    fn checked(check: K, config: Config) -> Self {
        let handle = Handle::new(Ledger::new(Arc::clone(&config.name)));
        Self { check, classify: ByResult::default(), config, handle }
    }
}

impl<K, C> HealthCheckLayer<K, C> {
    /// Tells operations apart, and successes, by `classify`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> HealthCheckLayer<K, D> {
        let Self { check, config, handle, .. } = self;
        HealthCheckLayer { check, classify, config, handle }
    }

    /// Reads what all services of this layer and of its clones have seen.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S: Clone, K: Clone, C: Clone> Layer<S> for HealthCheckLayer<K, C> {
    type Service = HealthCheck<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let (check, config) = (self.check.clone(), self.config.clone());
        let shared = Shared::new(inner.clone(), check, config, self.handle.clone());
        HealthCheck::new(inner, self.classify.clone(), shared)
    }
}
