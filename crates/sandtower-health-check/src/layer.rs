use std::sync::Arc;

use sandtower_core::ByResult;
use tower_layer::Layer;

use crate::unchecked::Shared;
use crate::{Config, ConfigError, Handle, HealthCheck, ledger::Ledger};

/// Checks new resources with a [`Check`](crate::Check).
///
/// Each successful response is probed before its caller gets it; others pass without delay. See
/// [the crate](crate) for its position in the stack and an example.
///
/// Nothing is left behind: a resource that fails its check, or whose caller goes away during the check, is
/// released by a spawned task, which the [handle](HealthCheckLayer::handle) can
/// [drain](Handle::drain). Resources that were being created when the caller went away, before there was a
/// response, are invisible to this layer.
///
/// # Events
///
/// With the target `sandtower::health_check`, all `WARN`: a check failed (`name`, `operation`,
/// `probes`, `last`, `returned`), and a release was interrupted or panicked (`name`).
#[derive(Clone, Debug)]
pub struct HealthCheckLayer<K, C = ByResult> {
    check: K,
    classify: C,
    config: Config,
    handle: Handle,
}

impl<K> HealthCheckLayer<K> {
    /// Checks with `check`, as `config` says. By default all requests are one operation, and every response
    /// that is not an error is a success; see [`classify`](HealthCheckLayer::classify).
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be valid.
    pub fn new(check: K, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::checked(check, config))
    }

    /// Checks by `check`, as [`Config::new`] says: it discards what fails three probes. `name` is for
    /// logs.
    pub fn recommended(name: impl Into<Arc<str>>, check: K) -> Self {
        Self::checked(check, Config::new(name))
    }

    /// Checks by `check`, as [`Config::classic`] says: it warns and returns the response.
    pub fn classic(check: K) -> Self {
        Self::checked(check, Config::classic())
    }

    fn checked(check: K, config: Config) -> Self {
        let handle = Handle::new(Ledger::new(Arc::clone(&config.name)));
        Self { check, classify: ByResult::default(), config, handle }
    }
}

impl<K, C> HealthCheckLayer<K, C> {
    /// Classifies operations and responses with `classify`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> HealthCheckLayer<K, D> {
        let Self { check, config, handle, .. } = self;
        HealthCheckLayer { check, classify, config, handle }
    }

    /// The same layer with another check, which `change` makes of this one: the configuration stays, and
    /// both layers share one handle.
    #[must_use]
    pub fn map_check<J>(self, change: impl FnOnce(K) -> J) -> HealthCheckLayer<J, C> {
        let Self { check, classify, config, handle } = self;
        HealthCheckLayer { check: change(check), classify, config, handle }
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
