use std::sync::Arc;

use ::http::{HeaderName, Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use super::assembly::LayersBody;
use super::fallback::{BelowFallback, StackFallback};
use super::preset::{Configs, NAME};
use super::{Component, Plan, Preset, StackConfig, build};
use crate::admission::QuotaConfig;
use crate::core::{BoxError, ObserveCalls, Seed, TenantsConfig};
use crate::e2b::{self, Probe, Timeouts};
use crate::health_check::MonitorConfig;
use crate::http::{Explain, Traces};
#[cfg(feature = "pool")]
use crate::pool::{self, PoolBuilder};
#[cfg(feature = "pool")]
use crate::stack::preset;
use crate::{admission, circuit_breaker, health_check, rate_limit, retry};

/// Builds a [`Stack`](super::Stack): starts with a [`Preset`], changes settings, disables components.
///
/// Each setter of a component takes a function from the configuration of the preset and the plan to the
/// one to use. Repeated calls apply in order.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use sandtower::e2b::{Config, operation as op};
/// use sandtower::stack::{Component, Plan, Stack};
///
/// let stack = Stack::builder(Config::new("e2b_0123")?)
///     .plan(Plan::Pro)
///     .default_template("base")
///     .retry(|retry| retry.attempts(NonZeroU32::MIN.saturating_add(2)))
///     .timeouts(|timeouts| timeouts.attempt(op::FILE_READ, Duration::from_secs(10)))
///     .disable(Component::HealthCheck)
///     .build()?;
/// assert_eq!(stack.handles().snapshot().disabled, [Component::HealthCheck]);
/// # Ok::<(), sandtower::core::BoxError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    pub(super) e2b: e2b::Config,
    pub(super) preset: Preset,
    pub(super) plan: Plan,
    pub(super) seed: Option<Seed>,
    pub(super) default_template: Option<Arc<str>>,
    pub(super) disabled: Vec<Component>,
    pub(super) probe: Probe,
    /// Applied over preset and plan, in this order.
    pub(super) files: Vec<StackConfig>,
    pub(super) changes: Changes,
    pub(super) fallback: Option<StackFallback>,
    pub(super) explain: Explain,
    pub(super) observers: Vec<Arc<dyn ObserveCalls>>,
    pub(super) traces: Option<Traces>,
    pub(super) tenants: Option<TenantsConfig>,
    pub(super) tenant_header: Option<HeaderName>,
    pub(super) priority_header: Option<HeaderName>,
}

#[derive(Default)]
pub(super) struct Changes {
    timeouts: Change<Timeouts>,
    retry: Change<retry::Config>,
    health_check: Change<health_check::Config>,
    admission: Change<admission::Config>,
    quota: Change<QuotaConfig>,
    rate_limit: Change<rate_limit::Config>,
    circuit_breaker: Change<circuit_breaker::Config>,
    /// `None`: no monitor.
    monitor: Option<Change<MonitorConfig>>,
    /// `None`: no pool.
    #[cfg(feature = "pool")]
    pool: Option<Change<pool::Config>>,
    #[cfg(feature = "pool")]
    pub(super) pool_hooks: Change<PoolBuilder>,
}

impl Builder {
    pub(super) fn new(e2b: e2b::Config) -> Self {
        Self {
            e2b,
            preset: Preset::default(),
            plan: Plan::default(),
            seed: None,
            default_template: None,
            disabled: Vec::new(),
            probe: Probe::default(),
            files: Vec::new(),
            changes: Changes::default(),
            fallback: None,
            explain: Explain::off(),
            observers: Vec::new(),
            traces: None,
            tenants: None,
            tenant_header: None,
            priority_header: None,
        }
    }

    /// The preset. Default: [`Preset::Recommended`].
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// The limits of the team. Default: [`Plan::Hobby`], the smallest. What the service itself reports
    /// takes precedence.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Draws all randomness from `seed`, for reproducible runs.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Creates sandboxes from `template`, by id or alias, if the requested template does not exist.
    pub fn default_template(mut self, template: impl Into<Arc<str>>) -> Self {
        self.default_template = Some(template.into());
        self
    }

    /// The table of tenants: its capacity, and the configured tenants with their weights and the highest
    /// priority of their calls. By default it has room for 10,000 tenants and none is configured.
    pub fn tenants(mut self, config: TenantsConfig) -> Self {
        self.tenants = Some(config);
        self
    }

    /// The header whose value is the key of the tenant, for requests without the extension
    /// [`Tenant`](crate::core::Tenant): see [`Callers`](crate::http::Callers). Not set by default. It is
    /// sent on to E2B.
    pub fn tenant_header(mut self, name: HeaderName) -> Self {
        self.tenant_header = Some(name);
        self
    }

    /// The header whose value is the priority, `interactive`, `batch` or `background`, for requests
    /// without the extension [`Priority`](crate::core::Priority). Not set by default. It is sent on to
    /// E2B.
    pub fn priority_header(mut self, name: HeaderName) -> Self {
        self.priority_header = Some(name);
        self
    }

    /// Disables a component.
    pub fn disable(mut self, component: Component) -> Self {
        if !self.disabled.contains(&component) {
            self.disabled.push(component);
        }
        self
    }

    /// Puts `fallback`, a [`FallbackLayer`](crate::fallback::FallbackLayer) or any other layer, between
    /// the deadline of the call and all other layers: it runs when retries are exhausted, in the
    /// remaining time. Costs one allocation per call.
    pub fn fallback<L>(mut self, fallback: L) -> Self
    where
        L: Layer<BelowFallback> + Send + Sync + 'static,
        L::Service: Service<Request<Full<Bytes>>, Response = Response<LayersBody>>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Full<Bytes>>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Full<Bytes>>>>::Future: Send,
    {
        self.fallback = Some(StackFallback::new(fallback));
        self
    }

    /// Explains calls: where their time went, and why. The explanation is on each response, as the
    /// extension [`Explanation`](crate::core::Explanation), and in each error; calls that are slow or
    /// rejected are logged. Off by default.
    pub fn explain(mut self, explain: Explain) -> Self {
        self.explain = explain;
        self
    }

    /// Calls `observer` at the end of each call with the time of its stages, for histograms.
    pub fn observe_calls(mut self, observer: Arc<dyn ObserveCalls>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Creates spans for calls and attempts, with the names of OpenTelemetry and the path templates of
    /// E2B. `change` configures their [propagation](Traces::propagate). Off by default.
    pub fn traces(mut self, change: impl FnOnce(Traces) -> Traces) -> Self {
        self.traces = Some(change(self.traces.take().unwrap_or_else(build::traces)));
        self
    }

    /// How a new sandbox is checked. Default: a [command](Probe::Command).
    pub fn probe_by(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// Changes the timeouts of calls and attempts. The function gets those of the
    /// [client's config](e2b::Config::timeouts), which are the same in all presets.
    pub fn timeouts(mut self, change: impl FnOnce(Timeouts) -> Timeouts + Send + 'static) -> Self {
        self.changes.timeouts.then(change);
        self
    }

    /// Changes the retries.
    pub fn retry(
        mut self,
        change: impl FnOnce(retry::Config) -> retry::Config + Send + 'static,
    ) -> Self {
        self.changes.retry.then(change);
        self
    }

    /// Changes the check of new sandboxes.
    pub fn health_check(
        mut self,
        change: impl FnOnce(health_check::Config) -> health_check::Config + Send + 'static,
    ) -> Self {
        self.changes.health_check.then(change);
        self
    }

    /// Changes the limits on concurrency and the queues.
    pub fn admission(
        mut self,
        change: impl FnOnce(admission::Config) -> admission::Config + Send + 'static,
    ) -> Self {
        self.changes.admission.then(change);
        self
    }

    /// Changes the quota of sandboxes.
    pub fn quota(
        mut self,
        change: impl FnOnce(QuotaConfig) -> QuotaConfig + Send + 'static,
    ) -> Self {
        self.changes.quota.then(change);
        self
    }

    /// Changes the rate limits.
    pub fn rate_limit(
        mut self,
        change: impl FnOnce(rate_limit::Config) -> rate_limit::Config + Send + 'static,
    ) -> Self {
        self.changes.rate_limit.then(change);
        self
    }

    /// Changes when and for how long the control-plane breaker and the data-plane breaker open.
    pub fn circuit_breaker(
        mut self,
        change: impl FnOnce(circuit_breaker::Config) -> circuit_breaker::Config + Send + 'static,
    ) -> Self {
        self.changes.circuit_breaker.then(change);
        self
    }

    /// Enables the health monitor: it probes the control plane's `/health` every 10 s, or as `change`
    /// says, as long as one of its handles exists and is not [drained](super::Handles::drain). Off by
    /// default.
    ///
    /// It starts with the first [`E2b`](crate::E2b) of the stack. Results are logged with the target
    /// `sandtower::health_check` and are part of the [snapshot](super::Snapshot::monitor); they change
    /// nothing, since the circuit breaker relies on the outcome of calls. Probes bypass admission control
    /// and its gates, so that an open breaker does not hide the health of the service.
    pub fn monitor(
        mut self,
        change: impl FnOnce(MonitorConfig) -> MonitorConfig + Send + 'static,
    ) -> Self {
        self.changes.monitor.get_or_insert_default().then(change);
        self
    }
}

#[cfg(feature = "pool")]
impl Builder {
    /// Enables the warm pool: creations are served from stock, as `change` says. Off by default.
    ///
    /// It starts when the first client of the stack is created, or with its first creation. Its own requests
    /// pass all layers, with the priority `background`. While the circuit breaker of the control plane is not
    /// closed, nothing is created for it, and a creation that finds no free slot gets one of its slots.
    ///
    /// ```
    /// use sandtower::e2b::{Config, NewSandbox};
    /// use sandtower::stack::Stack;
    ///
    /// let stack = Stack::builder(Config::new("e2b_0123")?)
    ///     .pool(|pool| pool.max(5).budget(0.5).shape(&NewSandbox::new("base")))
    ///     .build()?;
    /// assert_eq!(stack.handles().pool.as_ref().map(|pool| pool.snapshot().idle), Some(0));
    /// # Ok::<(), sandtower::core::BoxError>(())
    /// ```
    pub fn pool(
        mut self,
        change: impl FnOnce(pool::Config) -> pool::Config + Send + 'static,
    ) -> Self {
        self.changes.pool.get_or_insert_default().then(change);
        self
    }

    /// Changes what the pool does with sandboxes before they are in stock: its
    /// [warm-up](PoolBuilder::warm_up) and how they are [cleaned](PoolBuilder::clean) between two uses.
    pub fn pool_hooks(
        mut self,
        change: impl FnOnce(PoolBuilder) -> PoolBuilder + Send + 'static,
    ) -> Self {
        self.changes.pool_hooks.then(change);
        self
    }
}

impl Changes {
    /// `plan` is what a pool starts from.
    pub(super) fn apply(&mut self, configs: Configs, plan: Plan) -> Configs {
        let changes = std::mem::take(self);
        #[cfg(feature = "pool")]
        {
            self.pool_hooks = changes.pool_hooks;
        }
        #[cfg(not(feature = "pool"))]
        let _ = plan;
        Configs {
            #[cfg(feature = "pool")]
            pool: match (changes.pool, configs.pool) {
                (None, pool) => pool,
                (Some(change), pool) => {
                    Some(change.apply(pool.unwrap_or_else(|| preset::pool(plan))))
                }
            },
            timeouts: changes.timeouts.apply(configs.timeouts),
            default_template: configs.default_template,
            retry: changes.retry.apply(configs.retry),
            health_check: changes.health_check.apply(configs.health_check),
            admission: changes.admission.apply(configs.admission),
            quota: changes.quota.apply(configs.quota),
            rate_limit: changes.rate_limit.apply(configs.rate_limit),
            circuit_breaker: changes.circuit_breaker.apply(configs.circuit_breaker),
            monitor: match (changes.monitor, configs.monitor) {
                (None, monitor) => monitor,
                (Some(change), monitor) => {
                    Some(change.apply(monitor.unwrap_or_else(|| MonitorConfig::new(NAME))))
                }
            },
        }
    }
}

/// A change to one configuration.
pub(super) struct Change<T>(Vec<Box<dyn FnOnce(T) -> T + Send>>);

impl<T> Change<T> {
    fn then(&mut self, change: impl FnOnce(T) -> T + Send + 'static) {
        self.0.push(Box::new(change));
    }

    pub(super) fn apply(self, config: T) -> T {
        self.0.into_iter().fold(config, |config, change| change(config))
    }
}

impl<T> Default for Change<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("e2b", &self.e2b)
            .field("preset", &self.preset)
            .field("plan", &self.plan)
            .field("default_template", &self.default_template)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}
