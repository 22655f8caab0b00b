use std::sync::Arc;
use std::time::Duration;

use super::assembly::{Gates, Parts, Stack};
use super::builder::Builder;
use super::maybe::Maybe;
use super::planes::Planes;
use super::preset::{ADMIT_DURING_SHUTDOWN, Configs, NAME, PROXY_NAME};
use super::watch::WatchExtension;
use super::{BuildError, Handles, Part};
use crate::admission::{self, AdmissionLayer, Quota};
use crate::circuit_breaker;
use crate::core::{Operation, Seed};
use crate::e2b::{
    Creations, DefaultTemplate, E2bClassify, E2bInterpret, E2bReconcile, SafeCreateLayer,
    SandboxCheck, Timeouts, operation as op,
};
use crate::health_check::{HealthCheckLayer, Monitor, MonitorConfig};
use crate::http::{Http, InterpretLayer};
use crate::rate_limit::RateLimit;
use crate::retry::{self, RetryLayer, WhenThrottled};
use crate::timeout::{DeadlineLayer, Limits, TimeoutLayer};

impl<F> Builder<F> {
    /// The stack.
    ///
    /// # Errors
    ///
    /// The configuration of a part makes no sense: the error names the part and says what would.
    pub fn build(self) -> Result<Stack<F>, BuildError> {
        let timeouts = self.e2b.operation_timeouts().clone();
        let configs = self.changes.apply(self.preset.configs(self.plan, timeouts));
        let dropped = Dropped(&self.without);
        let (e2b, seed) = match self.seed {
            Some(seed) => (self.e2b.seed(seed.clone()), seed),
            None => (self.e2b, Seed::random()),
        };
        // The client, too, gives up a body that stands still.
        let e2b = e2b.timeouts(configs.timeouts.clone());
        let retries = retries(&configs, &dropped);
        let gates = gates(&configs, &dropped, &seed)?;
        let breaker = dropped.unless(Part::CircuitBreaker, gates.circuit_breakers.control.clone());
        if let Some(breaker) = breaker {
            e2b.creation_events().circuit_breaker_state(move || breaker.state().label());
        }
        let room = dropped.unless(Part::Admission, configs.admission);
        let admission = AdmissionLayer::with_gates(room.unwrap_or_else(open_room), gates.enforced)
            .map_err(|error| BuildError::of(Part::Admission, error))?
            .classify(E2bClassify)
            .watch(WatchExtension);
        let creations = Creations::new(&e2b);
        let retry = RetryLayer::new(retries)
            .classify(E2bClassify)
            .resend(Http)
            .answers(Http)
            .reconcile(E2bReconcile::new(creations.clone()))
            .seed(seed.clone());
        let check =
            SandboxCheck::new(e2b.clone()).creations(creations.clone()).probe_by(self.probe);
        let health_check = HealthCheckLayer::new(check, configs.health_check)
            .map_err(|error| BuildError::of(Part::HealthCheck, error))?
            .classify(E2bClassify);
        let template = self.default_template.or_else(|| configs.default_template.map(Arc::from));
        let template = dropped.unless(Part::DefaultTemplate, template).flatten();
        let default_template = template.map(|name| DefaultTemplate::new(name).layer());
        let handles = Handles {
            monitor: monitor(dropped.unless(Part::Monitor, configs.monitor).flatten(), &seed)?,
            retry: retry.handle().clone(),
            creations: creations.clone(),
            events: e2b.creation_events().clone(),
            health_check: health_check.handle().clone(),
            room: admission.room().clone(),
            quota: gates.quota,
            rate_limit: gates.rate_limit,
            circuit_breaker: gates.circuit_breakers.control,
            sandbox_breaker: gates.circuit_breakers.sandboxes,
            default_template: default_template.as_ref().map(|layer| layer.handle().clone()),
            without: self.without.as_slice().into(),
        };
        let parts = Parts {
            deadline: deadline(dropped.unless(Part::Deadline, &configs.timeouts)),
            fallback: self.fallback,
            default_template: Maybe::new(default_template),
            retry: Maybe::new(dropped.unless(Part::Retry, retry)),
            safe_create: SafeCreateLayer::new(creations),
            health_check: Maybe::new(dropped.unless(Part::HealthCheck, health_check)),
            admission,
            timeout: timeout(dropped.unless(Part::Timeout, &configs.timeouts)),
            interpret: InterpretLayer::new(E2bInterpret::default()),
        };
        Ok(Stack::new(e2b, parts, handles))
    }
}

/// Who is sent back to a line in which no gate holds it comes back at once, again and again.
fn retries(configs: &Configs, dropped: &Dropped<'_>) -> retry::Config {
    let paced = configs.rate_limit.is_enforced() && !dropped.has(Part::RateLimit);
    let retry = configs.retry.clone();
    match paced && !dropped.has(Part::Quota) {
        true => retry,
        false => retry.when_throttled(WhenThrottled::Sleep),
    }
}

/// Nobody is in anybody's way, and nobody waits: the gates alone decide.
fn open_room() -> admission::Config {
    let open = admission::Config::new(NAME).concurrency(u32::MAX).queue(0);
    ADMIT_DURING_SHUTDOWN.into_iter().fold(open, admission::Config::admit_during_shutdown)
}

fn deadline(timeouts: Option<&Timeouts>) -> DeadlineLayer<E2bClassify, Http> {
    let layer = DeadlineLayer::new(limits(timeouts, Timeouts::call_of));
    layer.classify(E2bClassify).set_deadline(Http)
}

fn timeout(timeouts: Option<&Timeouts>) -> TimeoutLayer<E2bClassify> {
    TimeoutLayer::new(limits(timeouts, Timeouts::attempt_of)).classify(E2bClassify)
}

fn monitor(config: Option<MonitorConfig>, seed: &Seed) -> Result<Option<Monitor>, BuildError> {
    let monitor = config.map(|config| Monitor::new(config.seed(seed.clone()))).transpose();
    monitor.map_err(|error| BuildError::of(Part::Monitor, error))
}

/// The gates as handles, and as the room has them.
struct BuiltGates {
    quota: Quota,
    rate_limit: RateLimit,
    circuit_breakers: Planes,
    enforced: Gates,
}

fn gates(configs: &Configs, dropped: &Dropped<'_>, seed: &Seed) -> Result<BuiltGates, BuildError> {
    let quota = Quota::new(configs.quota.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Part::Quota, error))?;
    let rate_limit = RateLimit::new(configs.rate_limit.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Part::RateLimit, error))?;
    let breaker = |config: circuit_breaker::Config| {
        let built = config.seed(seed.clone()).build();
        built.map_err(|error| BuildError::of(Part::CircuitBreaker, error))
    };
    let circuit_breakers = Planes {
        control: breaker(configs.circuit_breaker.clone())?,
        sandboxes: breaker(configs.circuit_breaker.clone().name(PROXY_NAME))?,
    };
    let enforced = (
        dropped.unless(Part::Quota, quota.clone()),
        (
            dropped.unless(Part::RateLimit, rate_limit.clone()),
            dropped.unless(Part::CircuitBreaker, circuit_breakers.clone()),
        ),
    );
    Ok(BuiltGates { quota, rate_limit, circuit_breakers, enforced })
}

/// `None`: there are none.
fn limits(timeouts: Option<&Timeouts>, of: fn(&Timeouts, Operation) -> Option<Duration>) -> Limits {
    let Some(timeouts) = timeouts else { return Limits::none() };
    let unknown = of(timeouts, Operation::CALL).map_or_else(Limits::none, Limits::all);
    op::ALL
        .iter()
        .fold(unknown, |limits, &operation| limits.operation(operation, of(timeouts, operation)))
}

struct Dropped<'a>(&'a [Part]);

impl Dropped<'_> {
    fn has(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    fn unless<T>(&self, part: Part, there: T) -> Option<T> {
        (!self.has(part)).then_some(there)
    }
}
