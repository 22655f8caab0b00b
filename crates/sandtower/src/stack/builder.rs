use std::sync::Arc;
use std::time::Duration;

use tower_layer::Identity;

use super::assembly::{Gates, Parts, Stack};
use super::maybe::Maybe;
use super::preset::{Configs, LAST_OUT, NAME};
use super::watch::WatchExtension;
use super::{BuildError, Handles, Part, Plan, Preset};
use crate::admission::{AdmissionLayer, Quota, QuotaConfig};
use crate::circuit_breaker::CircuitBreaker;
use crate::core::{Operation, Seed};
use crate::e2b::{
    self, Creations, DefaultTemplate, E2bClassify, E2bInterpret, E2bReconcile, Probe,
    SafeCreateLayer, SandboxCheck, Timeouts, operation as op,
};
use crate::health_check::HealthCheckLayer;
use crate::http::{Http, InterpretLayer};
use crate::rate_limit::RateLimit;
use crate::retry::RetryLayer;
use crate::timeout::{DeadlineLayer, Limits, TimeoutLayer};
use crate::{admission, circuit_breaker, health_check, rate_limit, retry};

/// Builds a [`Stack`]: begins with a [`Preset`], changes what is to be different, drops what is not
/// wanted.
///
/// Each setter of a part is given the configuration that the preset and the plan make, and returns
/// the one to use. Said twice, both changes are made, in order.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use sandtower::e2b::{Config, operation as op};
/// use sandtower::stack::{Part, Plan, Stack};
///
/// let stack = Stack::builder(Config::new("e2b_0123")?)
///     .plan(Plan::Pro)
///     .default_template("base")
///     .retry(|retry| retry.attempts(NonZeroU32::MIN.saturating_add(2)))
///     .timeouts(|timeouts| timeouts.attempt(op::FILE_READ, Duration::from_secs(10)))
///     .without(Part::HealthCheck)
///     .build()?;
/// assert_eq!(stack.handles().snapshot().without, [Part::HealthCheck]);
/// # Ok::<(), sandtower::core::BoxError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<F = Identity> {
    e2b: e2b::Config,
    preset: Preset,
    plan: Plan,
    seed: Option<Seed>,
    default_template: Option<Arc<str>>,
    without: Vec<Part>,
    probe: Probe,
    changes: Changes,
    fallback: F,
}

#[derive(Default)]
struct Changes {
    timeouts: Change<Timeouts>,
    retry: Change<retry::Config>,
    health_check: Change<health_check::Config>,
    admission: Change<admission::Config>,
    quota: Change<QuotaConfig>,
    rate_limit: Change<rate_limit::Config>,
    circuit_breaker: Change<circuit_breaker::Config>,
}

impl Builder {
    pub(super) fn new(e2b: e2b::Config) -> Self {
        Self {
            e2b,
            preset: Preset::default(),
            plan: Plan::default(),
            seed: None,
            default_template: None,
            without: Vec::new(),
            probe: Probe::default(),
            changes: Changes::default(),
            fallback: Identity::new(),
        }
    }
}

impl<F> Builder<F> {
    /// Where the numbers begin: [`Preset::Recommended`] unless told.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// What the team may do: [`Plan::Hobby`] unless told, which every team may. The service's own
    /// word counts in any case.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Draws all randomness from `seed`, for runs that must be the same each time.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes a sandbox of `template`, by id or alias, where the one that was asked for is not found.
    pub fn default_template(mut self, template: impl Into<Arc<str>>) -> Self {
        self.default_template = Some(template.into());
        self
    }

    /// Drops a part.
    pub fn without(mut self, part: Part) -> Self {
        if !self.without.contains(&part) {
            self.without.push(part);
        }
        self
    }

    /// Stands `fallback`, a [`FallbackLayer`](crate::fallback::FallbackLayer) or any other layer,
    /// between the deadline of the call and everything else: its alternatives begin when all attempts
    /// have failed, and have what is left of the time.
    pub fn fallback<G>(self, fallback: G) -> Builder<G> {
        let Self { e2b, preset, plan, seed, default_template, without, probe, changes, .. } = self;
        Builder { e2b, preset, plan, seed, default_template, without, probe, changes, fallback }
    }

    /// Finds out by this whether a new sandbox is alive: by a [command](Probe::Command) unless told.
    pub fn probe_by(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// Changes how long calls and attempts may take.
    pub fn timeouts(mut self, change: impl FnOnce(Timeouts) -> Timeouts + Send + 'static) -> Self {
        self.changes.timeouts.then(change);
        self
    }

    /// Changes when and how often calls are retried.
    pub fn retry(
        mut self,
        change: impl FnOnce(retry::Config) -> retry::Config + Send + 'static,
    ) -> Self {
        self.changes.retry.then(change);
        self
    }

    /// Changes how new sandboxes are checked.
    pub fn health_check(
        mut self,
        change: impl FnOnce(health_check::Config) -> health_check::Config + Send + 'static,
    ) -> Self {
        self.changes.health_check.then(change);
        self
    }

    /// Changes how many calls are in flight, and how many wait.
    pub fn admission(
        mut self,
        change: impl FnOnce(admission::Config) -> admission::Config + Send + 'static,
    ) -> Self {
        self.changes.admission.then(change);
        self
    }

    /// Changes what counts as a sandbox in use, and how many there are.
    pub fn quota(
        mut self,
        change: impl FnOnce(QuotaConfig) -> QuotaConfig + Send + 'static,
    ) -> Self {
        self.changes.quota.then(change);
        self
    }

    /// Changes what is counted and paced.
    pub fn rate_limit(
        mut self,
        change: impl FnOnce(rate_limit::Config) -> rate_limit::Config + Send + 'static,
    ) -> Self {
        self.changes.rate_limit.then(change);
        self
    }

    /// Changes when the circuit breaker opens, and for how long.
    pub fn circuit_breaker(
        mut self,
        change: impl FnOnce(circuit_breaker::Config) -> circuit_breaker::Config + Send + 'static,
    ) -> Self {
        self.changes.circuit_breaker.then(change);
        self
    }

    /// The stack.
    ///
    /// # Errors
    ///
    /// The configuration of a part makes no sense: the error names the part and says what would.
    pub fn build(self) -> Result<Stack<F>, BuildError> {
        let configs = self.changes.apply(self.preset.configs(self.plan));
        let dropped = Dropped(&self.without);
        let e2b = match &self.seed {
            Some(seed) => self.e2b.seed(seed.clone()),
            None => self.e2b,
        };
        let seed = self.seed.unwrap_or_default();
        let gates = gates(&configs, &dropped, &seed)?;
        if !dropped.has(Part::CircuitBreaker) {
            let breaker = gates.circuit_breaker.clone();
            e2b.creation_events().circuit_breaker_state(move || breaker.state().label());
        }
        let room = match dropped.has(Part::Admission) {
            // Nobody is in anybody's way, and nobody waits: the gates alone decide.
            true => {
                let open = admission::Config::new(NAME).concurrency(u32::MAX).queue(0);
                LAST_OUT.into_iter().fold(open, admission::Config::last_out)
            }
            false => configs.admission,
        };
        let admission = AdmissionLayer::with_gates(room, gates.enforced)
            .map_err(|error| BuildError::of(Part::Admission, error))?
            .classify(E2bClassify)
            .watch(WatchExtension);
        let creations = Creations::new(&e2b);
        let retry = RetryLayer::new(configs.retry)
            .classify(E2bClassify)
            .resend(Http)
            .answers(Http)
            .reconcile(E2bReconcile::new(creations.clone()))
            .seed(seed);
        let check =
            SandboxCheck::new(e2b.clone()).creations(creations.clone()).probe_by(self.probe);
        let health_check = HealthCheckLayer::new(check, configs.health_check)
            .map_err(|error| BuildError::of(Part::HealthCheck, error))?
            .classify(E2bClassify);
        let default_template = self
            .default_template
            .or_else(|| configs.default_template.map(Arc::from))
            .filter(|_| !dropped.has(Part::DefaultTemplate))
            .map(|template| DefaultTemplate::new(template).layer());
        let handles = Handles {
            retry: retry.handle().clone(),
            creations: creations.clone(),
            events: e2b.creation_events().clone(),
            health_check: health_check.handle().clone(),
            room: admission.room().clone(),
            quota: gates.quota,
            rate_limit: gates.rate_limit,
            circuit_breaker: gates.circuit_breaker,
            default_template: default_template.as_ref().map(|layer| layer.handle().clone()),
            without: self.without.as_slice().into(),
        };
        let calls = dropped.unless(Part::Deadline, limits(&configs.timeouts, Timeouts::call_of));
        let attempts =
            dropped.unless(Part::Timeout, limits(&configs.timeouts, Timeouts::attempt_of));
        let parts = Parts {
            deadline: DeadlineLayer::new(calls.unwrap_or_default())
                .classify(E2bClassify)
                .set_deadline(Http),
            fallback: self.fallback,
            default_template: Maybe::new(default_template),
            retry: Maybe::new(dropped.unless(Part::Retry, retry)),
            safe_create: SafeCreateLayer::new(creations),
            health_check: Maybe::new(dropped.unless(Part::HealthCheck, health_check)),
            admission,
            timeout: TimeoutLayer::new(attempts.unwrap_or_default()).classify(E2bClassify),
            interpret: InterpretLayer::new(E2bInterpret::default()),
        };
        Ok(Stack::new(e2b, parts, handles))
    }
}

/// The gates as handles, and as the room has them.
struct BuiltGates {
    quota: Quota,
    rate_limit: RateLimit,
    circuit_breaker: CircuitBreaker,
    enforced: Gates,
}

fn gates(configs: &Configs, dropped: &Dropped<'_>, seed: &Seed) -> Result<BuiltGates, BuildError> {
    let quota = Quota::new(configs.quota.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Part::Quota, error))?;
    let rate_limit = RateLimit::new(configs.rate_limit.clone().seed(seed.clone()))
        .map_err(|error| BuildError::of(Part::RateLimit, error))?;
    let circuit_breaker = configs.circuit_breaker.clone().seed(seed.clone()).build();
    let circuit_breaker =
        circuit_breaker.map_err(|error| BuildError::of(Part::CircuitBreaker, error))?;
    let enforced = (
        dropped.unless(Part::Quota, quota.clone()),
        (
            dropped.unless(Part::RateLimit, rate_limit.clone()),
            dropped.unless(Part::CircuitBreaker, circuit_breaker.clone()),
        ),
    );
    Ok(BuiltGates { quota, rate_limit, circuit_breaker, enforced })
}

fn limits(timeouts: &Timeouts, of: fn(&Timeouts, Operation) -> Option<Duration>) -> Limits {
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

impl Changes {
    fn apply(self, configs: Configs) -> Configs {
        Configs {
            timeouts: self.timeouts.apply(configs.timeouts),
            default_template: configs.default_template,
            retry: self.retry.apply(configs.retry),
            health_check: self.health_check.apply(configs.health_check),
            admission: self.admission.apply(configs.admission),
            quota: self.quota.apply(configs.quota),
            rate_limit: self.rate_limit.apply(configs.rate_limit),
            circuit_breaker: self.circuit_breaker.apply(configs.circuit_breaker),
        }
    }
}

/// What is done to one configuration.
struct Change<T>(Vec<Box<dyn FnOnce(T) -> T + Send>>);

impl<T> Change<T> {
    fn then(&mut self, change: impl FnOnce(T) -> T + Send + 'static) {
        self.0.push(Box::new(change));
    }

    fn apply(self, config: T) -> T {
        self.0.into_iter().fold(config, |config, change| change(config))
    }
}

impl<T> Default for Change<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F> std::fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("e2b", &self.e2b)
            .field("preset", &self.preset)
            .field("plan", &self.plan)
            .field("default_template", &self.default_template)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}
