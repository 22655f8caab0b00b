use std::sync::Arc;
use std::time::Duration;

use super::assembly::{Parts, Stack};
use super::builder::Builder;
use super::gates::{Breakers, Gates};
use super::preset::{ADMIT_DURING_SHUTDOWN, Configs, NAME, PROXY_NAME};
use super::service::WatchExtension;
use super::uploads::Uploads;
use super::{BuildError, Component, Handles};
#[cfg(feature = "pool")]
use crate::admission::QuotaSnapshot;
use crate::admission::{self, AdmissionLayer, Quota};
use crate::circuit_breaker;
use crate::core::{BoxError, Operation, Seed, Tenants};
use crate::e2b::{
    DefaultTemplate, E2bClassify, E2bInterpret, E2bReconcile, SandboxCheck, SandboxTracker,
    Timeouts, TrackingLayer, operation as op,
};
use crate::health_check::{HealthCheckLayer, Monitor, MonitorConfig};
use crate::http::{
    AttemptSpanLayer, ByCaller, Callers, Explain, ExplainLayer, Http, InterpretLayer, Traces,
};
#[cfg(feature = "pool")]
use crate::pool::{PoolLayer, engine::Room};
use crate::rate_limit::RateLimit;
use crate::retry::{self, RetryLayer, WhenThrottled};
use crate::timeout::{DeadlineLayer, Limits, TimeoutLayer, is_timeout};

impl Builder {
    /// Builds the stack.
    ///
    /// # Errors
    ///
    /// The configuration of a component is invalid: the error names the component and says what would be
    /// valid.
    pub fn build(self) -> Result<Stack, BuildError> {
        let timeouts = self.e2b.operation_timeouts().clone();
        let mut configs = self.preset.configs(self.plan, timeouts);
        self.files.iter().try_for_each(|file| file.lay_over(&mut configs, self.plan))?;
        let mut changes = self.changes;
        let mut configs = changes.apply(configs, self.plan);
        let tenants = Tenants::new(self.tenants.unwrap_or_default());
        configs.admission = configs.admission.tenants(tenants.clone());
        let callers = Callers::new(tenants.clone());
        let callers = self.tenant_header.into_iter().fold(callers, Callers::tenant_header);
        let callers = self.priority_header.into_iter().fold(callers, Callers::priority_header);
        let disabled = Disabled(&self.disabled);
        let (e2b, seed) = match self.seed {
            Some(seed) => (self.e2b.seed(seed.clone()), seed),
            None => (self.e2b, Seed::random()),
        };
        // The client, too, ends a body that stalls.
        let e2b = e2b.timeouts(configs.timeouts.clone());
        let gates = gates(&configs, &disabled, &seed)?;
        let retries = retries(&configs, &disabled, gates.rate_limit.clone());
        let breaker =
            disabled.unless(Component::CircuitBreaker, gates.breakers.control_plane.clone());
        if let Some(breaker) = breaker {
            e2b.creation_events().circuit_breaker_state(move || breaker.snapshot().state.label());
        }
        let room = disabled.unless(Component::Admission, configs.admission);
        let admission = AdmissionLayer::with_gates(room.unwrap_or_else(open_room), gates.enforced)
            .map_err(|error| BuildError::of(Component::Admission, error))?
            .classify(E2bClassify)
            .watch(WatchExtension);
        let held = admission.control().clone();
        let retries = retries.requeue_through_outage(move |info| held.holds_through_outage(info));
        let tracker = SandboxTracker::new(&e2b);
        let retry = RetryLayer::new(retries, E2bClassify)
            .resend(Http)
            .response_hooks(Http)
            .reconcile(E2bReconcile::new(tracker.clone()))
            .seed(seed.clone());
        let check = SandboxCheck::new(e2b.clone()).tracker(tracker.clone()).probe_by(self.probe);
        #[cfg(feature = "pool")]
        let pool = match disabled.unless(Component::Pool, configs.pool).flatten() {
            Some(config) => {
                let builder = PoolLayer::builder(config, &e2b).tracker(tracker.clone());
                let builder = builder.check(check.clone()).seed(&seed);
                let limits = disabled.unless(Component::Quota, gates.quota.clone());
                let breaker = disabled
                    .unless(Component::CircuitBreaker, gates.breakers.control_plane.clone());
                let builder = builder.room(move || room_of(limits.as_ref(), breaker.as_ref()));
                let built = changes.pool_hooks.apply(builder).build();
                Some(built.map_err(|error| BuildError::of(Component::Pool, error))?)
            }
            None => None,
        };
        let health_check = HealthCheckLayer::new(check, configs.health_check)
            .map_err(|error| BuildError::of(Component::HealthCheck, error))?
            .classify(E2bClassify);
        let template = self.default_template.or_else(|| configs.default_template.map(Arc::from));
        let template = disabled.unless(Component::DefaultTemplate, template).flatten();
        let default_template = template.map(|name| DefaultTemplate::new(name).layer());
        let handles = Handles {
            monitor: monitor(
                disabled.unless(Component::Monitor, configs.monitor).flatten(),
                &seed,
            )?,
            retry: retry.handle().clone(),
            tracker: tracker.clone(),
            events: e2b.creation_events().clone(),
            health_check: health_check.handle().clone(),
            admission: admission.control().clone(),
            tenants,
            #[cfg(feature = "pool")]
            pool: pool.as_ref().map(|layer| layer.pool().clone()),
            quota: gates.quota,
            rate_limit: gates.rate_limit,
            control_plane_breaker: gates.breakers.control_plane,
            data_plane_breaker: gates.breakers.data_plane,
            default_template: default_template.as_ref().map(|layer| layer.handle().clone()),
            disabled: self.disabled.as_slice().into(),
        };
        let explain = self.observers.into_iter().fold(self.explain, Explain::observe);
        let explain = match self.traces.clone() {
            Some(traces) => explain.traces(traces),
            None => explain,
        };
        let parts = Parts {
            explain: ExplainLayer::new(explain, E2bClassify),
            attempt_spans: AttemptSpanLayer::new(self.traces, E2bClassify),
            deadline: deadline(disabled.unless(Component::Deadline, &configs.timeouts), callers),
            #[cfg(feature = "pool")]
            pool,
            fallback: self.fallback,
            default_template,
            retry: disabled.unless(Component::Retry, retry),
            tracking: TrackingLayer::new(tracker),
            health_check: disabled.unless(Component::HealthCheck, health_check),
            admission,
            timeout: timeout(disabled.unless(Component::Timeout, &configs.timeouts)),
            interpret: InterpretLayer::new(E2bInterpret::default()),
        };
        Ok(Stack::new(e2b, parts, handles))
    }
}

/// What quota and breaker leave to a pool.
#[cfg(feature = "pool")]
fn room_of(quota: Option<&Quota>, breaker: Option<&circuit_breaker::CircuitBreaker>) -> Room {
    let quota = quota.map(Quota::snapshot);
    let free = |quota: &QuotaSnapshot| {
        let used = quota.in_use.saturating_add(quota.under_way);
        quota.limit.map(|limit| limit.saturating_sub(used))
    };
    let is_closed = |breaker: &circuit_breaker::CircuitBreaker| {
        breaker.snapshot().state == circuit_breaker::State::Closed
    };
    Room::unknown()
        .free_slots(quota.as_ref().and_then(free))
        .short(quota.is_some_and(|quota| quota.out_of_slots_ms.is_some()))
        .closed(breaker.is_none_or(is_closed))
}

/// A call that returns to a queue without a gate that holds it would be sent again at once, repeatedly.
fn retries(configs: &Configs, disabled: &Disabled<'_>, limit: RateLimit) -> retry::Config {
    let held = !disabled.has(Component::RateLimit) && !disabled.has(Component::Quota);
    let retry = configs.retry.clone();
    match held {
        true => retry.requeue_while(move || !limit.is_shadow()),
        false => retry.when_throttled(WhenThrottled::Sleep),
    }
}

/// No limit and no queue: the gates alone decide.
fn open_room() -> admission::Config {
    let open = admission::Config::new(NAME).concurrency(u32::MAX).queue(0);
    ADMIT_DURING_SHUTDOWN.into_iter().fold(open, admission::Config::admit_during_shutdown)
}

/// It is the first to see a request: what it finds out of its caller, all layers below read.
fn deadline(
    timeouts: Option<&Timeouts>,
    callers: Callers,
) -> DeadlineLayer<E2bClassify, ByCaller<E2bClassify>> {
    let layer = DeadlineLayer::new(limits(timeouts, Timeouts::call_of));
    layer.classify(E2bClassify).set_deadline(callers.classify(E2bClassify))
}

fn timeout(timeouts: Option<&Timeouts>) -> TimeoutLayer<E2bClassify, Uploads> {
    let layer = TimeoutLayer::new(limits(timeouts, Timeouts::attempt_of));
    layer.classify(E2bClassify).moves(Uploads)
}

fn monitor(config: Option<MonitorConfig>, seed: &Seed) -> Result<Option<Monitor>, BuildError> {
    let monitor = config.map(|config| Monitor::new(config.seed(seed.clone()))).transpose();
    monitor.map_err(|error| BuildError::of(Component::Monitor, error))
}

/// The gates as handles, and as admission control uses them.
struct BuiltGates {
    quota: Quota,
    rate_limit: RateLimit,
    breakers: Breakers,
    enforced: Gates,
}

fn gates(
    configs: &Configs,
    disabled: &Disabled<'_>,
    seed: &Seed,
) -> Result<BuiltGates, BuildError> {
    let quota = Quota::new(configs.quota.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Component::Quota, error))?;
    let rate_limit = RateLimit::new(configs.rate_limit.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Component::RateLimit, error))?;
    let breaker = |config: circuit_breaker::Config| {
        let built = config.seed(seed.clone()).build();
        built.map_err(|error| BuildError::of(Component::CircuitBreaker, error))
    };
    let breakers = Breakers {
        control_plane: breaker(configs.circuit_breaker.clone())?,
        data_plane: breaker(configs.circuit_breaker.clone().name(PROXY_NAME))?,
    };
    let all = (
        disabled.unless(Component::Quota, quota.clone()),
        (
            disabled.unless(Component::RateLimit, rate_limit.clone()),
            disabled.unless(Component::CircuitBreaker, breakers.clone()),
        ),
    );
    let enforced = Gates { all };
    Ok(BuiltGates { quota, rate_limit, breakers, enforced })
}

/// Spans with E2B's names.
pub(super) fn traces() -> Traces {
    let elapsed = |error: &BoxError| is_timeout(&**error).then_some("timeout");
    Traces::new().template(op::url_template).error_type(elapsed)
}

/// `None`: there are none.
fn limits(timeouts: Option<&Timeouts>, of: fn(&Timeouts, Operation) -> Option<Duration>) -> Limits {
    let Some(timeouts) = timeouts else { return Limits::none() };
    let unknown = of(timeouts, Operation::CALL).map_or_else(Limits::none, Limits::all);
    op::ALL
        .iter()
        .fold(unknown, |limits, &operation| limits.operation(operation, of(timeouts, operation)))
}

struct Disabled<'a>(&'a [Component]);

impl Disabled<'_> {
    fn has(&self, component: Component) -> bool {
        self.0.contains(&component)
    }

    fn unless<T>(&self, component: Component, there: T) -> Option<T> {
        (!self.has(component)).then_some(there)
    }
}
