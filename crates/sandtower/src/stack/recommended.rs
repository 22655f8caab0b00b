use std::time::Duration;

use tower_layer::Layer;

use super::{Handles, Plan};
use crate::admission::{self, Admission, AdmissionLayer, Quota, QuotaConfig};
use crate::circuit_breaker::{self, CircuitBreaker};
use crate::core::{Operation, Seed};
use crate::e2b::{
    self, Client, Creations, E2bClassify, E2bInterpret, E2bReconcile, SafeCreate, SafeCreateLayer,
    SandboxCheck, Timeouts, operation as op,
};
use crate::health_check::{self, HealthCheck, HealthCheckLayer};
use crate::http::{Http, InterpretLayer, Interpreter};
use crate::rate_limit::{self, Mode, Pace, RateLimit};
use crate::retry::{self, Retry, RetryLayer, WhenThrottled};
use crate::timeout::{Deadline, DeadlineLayer, Limits, Timeout, TimeoutLayer};

/// The gates in the waiting room: what is cheap to give back, and holds calls longest, is taken first.
pub type Gates = (Quota, (RateLimit, CircuitBreaker));

/// A service under the recommended stack. See the [module](crate::stack) for the order.
pub type Recommended<S> = Deadline<Retried<S>, E2bClassify, Http>;

type Retried<S> = Retry<Accounted<S>, E2bClassify, Http, Http, E2bReconcile>;
type Accounted<S> = SafeCreate<Checked<S>>;

type Checked<S> = HealthCheck<Admitted<S>, SandboxCheck, E2bClassify>;
type Admitted<S> = Admission<Bounded<S>, Gates, E2bClassify>;
type Bounded<S> = Timeout<Interpreter<S, E2bInterpret>, E2bClassify>;

/// The recommended stack: a layer for HTTP services that talk to E2B, and the handles of all layers
/// in it. All services that it makes share its limits, its breaker and its line.
#[derive(Clone, Debug)]
pub struct Stack {
    config: e2b::Config,
    deadline: DeadlineLayer<E2bClassify, Http>,
    retry: RetryLayer<E2bClassify, Http, Http, E2bReconcile>,
    safe_create: SafeCreateLayer,
    health_check: HealthCheckLayer<SandboxCheck, E2bClassify>,
    admission: AdmissionLayer<Gates, E2bClassify>,
    timeout: TimeoutLayer<E2bClassify>,
    interpret: InterpretLayer<E2bInterpret>,
    handles: Handles,
}

impl Stack {
    /// The stack for a team on `plan`, which reaches E2B as `config` says.
    pub fn recommended(config: e2b::Config, plan: Plan) -> Self {
        Self::seeded(config, plan, Seed::random())
    }

    /// The same, with all randomness drawn from `seed`.
    ///
    /// # Panics
    ///
    /// Never: the numbers below are constants, and checked by a test.
    #[expect(clippy::expect_used, reason = "constants that a test builds")]
    pub fn seeded(config: e2b::Config, plan: Plan, seed: Seed) -> Self {
        const NAME: &str = "E2B";
        let config = config.seed(seed.clone());
        let pace = Pace::every(plan.create_every());
        let rate_limit =
            rate_limit::Config::new(NAME).mode(Mode::Enforce).pace(op::SANDBOX_CREATE, pace);
        let rate_limit = RateLimit::new(rate_limit).expect("a pace that is not zero");
        let breaker = circuit_breaker::Config::new(NAME).seed(seed.clone());
        let breaker = breaker.build().expect("its own defaults");
        let quota = Quota::new(sandboxes(NAME, plan).seed(seed.clone())).expect("a plan's numbers");
        let room = admission::Config::new(NAME)
            .concurrency_for(op::SANDBOX_CREATE, plan.concurrent_creates());
        let gates = (quota.clone(), (rate_limit.clone(), breaker.clone()));
        let admission =
            AdmissionLayer::with_gates(room, gates).expect("limits above 0").classify(E2bClassify);
        let retry = retry::Config::recommended().when_throttled(WhenThrottled::WaitBelow);
        let creations = Creations::new(&config);
        let retry = RetryLayer::new(retry)
            .classify(E2bClassify)
            .resend(Http)
            .answers(Http)
            .reconcile(E2bReconcile::new(creations.clone()))
            .seed(seed);
        let check = SandboxCheck::new(config.clone()).creations(creations.clone());
        let health_check = HealthCheckLayer::new(check, health_check::Config::new(NAME))
            .expect("its own defaults")
            .classify(E2bClassify);
        let handles = Handles {
            retry: retry.handle().clone(),
            creations: creations.clone(),
            health_check: health_check.handle().clone(),
            room: admission.room().clone(),
            quota,
            rate_limit,
            circuit_breaker: breaker,
        };
        let timeouts = config.operation_timeouts();
        let deadline = DeadlineLayer::new(limits(timeouts, Timeouts::call_of))
            .classify(E2bClassify)
            .set_deadline(Http);
        let timeout =
            TimeoutLayer::new(limits(timeouts, Timeouts::attempt_of)).classify(E2bClassify);
        Self {
            config,
            deadline,
            retry,
            safe_create: SafeCreateLayer::new(creations),
            health_check,
            admission,
            timeout,
            interpret: InterpretLayer::new(E2bInterpret::default()),
            handles,
        }
    }

    /// The handles of all layers.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// A typed client over `http` with this stack around it.
    pub fn client<S: Clone>(&self, http: S) -> Client<Recommended<S>> {
        Client::new(self.layer(http), self.config.clone())
    }
}

impl<S: Clone> Layer<S> for Stack {
    type Service = Recommended<S>;

    fn layer(&self, http: S) -> Recommended<S> {
        let attempt = self.timeout.layer(self.interpret.layer(http));
        let checked = self.health_check.layer(self.admission.layer(attempt));
        self.deadline.layer(self.retry.layer(self.safe_create.layer(checked)))
    }
}

/// What takes one of a team's sandboxes, and what frees one. A connect takes one only if the sandbox
/// was paused, which nobody knows before.
fn sandboxes(name: &str, plan: Plan) -> QuotaConfig {
    let takes = [op::SANDBOX_CREATE, op::SANDBOX_RESUME, op::SANDBOX_FORK];
    let config = takes.into_iter().fold(QuotaConfig::new(name), QuotaConfig::takes);
    let frees = [op::SANDBOX_KILL, op::SANDBOX_PAUSE];
    frees.into_iter().fold(config, QuotaConfig::releases).limit(plan.sandboxes())
}

fn limits(timeouts: &Timeouts, of: fn(&Timeouts, Operation) -> Option<Duration>) -> Limits {
    let unknown = of(timeouts, Operation::CALL).map_or_else(Limits::none, Limits::all);
    op::ALL
        .iter()
        .fold(unknown, |limits, &operation| limits.operation(operation, of(timeouts, operation)))
}
