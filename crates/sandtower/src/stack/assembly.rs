use tower_layer::{Identity, Layer};

use super::maybe::{Maybe, MaybeLayered};
use super::watch::WatchExtension;
use super::{Builder, Handles, Plan, Planes};
use crate::admission::{Admission, AdmissionLayer, Quota};
use crate::core::Seed;
use crate::e2b::{
    self, Client, DefaultTemplate, E2bClassify, E2bInterpret, E2bReconcile, SafeCreate,
    SafeCreateLayer, SandboxCheck,
};
use crate::fallback::{Fallback, FallbackLayer, RewriteAlternative, Rewritten};
use crate::health_check::{HealthCheck, HealthCheckLayer};
use crate::http::{Http, InterpretLayer, Interpreter};
use crate::rate_limit::RateLimit;
use crate::retry::{Retry, RetryLayer};
use crate::timeout::{Deadline, DeadlineLayer, Timeout, TimeoutLayer};

/// The gates in the waiting room: what is cheap to give back, and holds calls longest, is taken first.
/// Those that were dropped from the stack are `None`.
pub type Gates = (Option<Quota>, (Option<RateLimit>, Option<Planes>));

/// A service under the recommended stack, with the layer `F` below the deadline. See the
/// [module](crate::stack) for the order.
pub type Recommended<S, F = Identity> =
    Deadline<<F as Layer<Templated<S>>>::Service, E2bClassify, Http>;

/// Everything below the deadline and a [fallback](Builder::fallback).
pub type Templated<S> = MaybeLayered<
    Fallback<Tried<S>, RewriteAlternative<Tried<S>, DefaultTemplate>, E2bClassify>,
    Tried<S>,
>;

/// Retry, and everything below it.
pub type Tried<S> =
    MaybeLayered<Retry<Accounted<S>, E2bClassify, Http, Http, E2bReconcile>, Accounted<S>>;

/// The account of what is made, and everything below it.
pub type Accounted<S> = SafeCreate<Checked<S>>;

/// The health check, and everything below it.
pub type Checked<S> =
    MaybeLayered<HealthCheck<Admitted<S>, SandboxCheck, E2bClassify>, Admitted<S>>;

/// The waiting room, and everything below it.
pub type Admitted<S> = Admission<Bounded<S>, Gates, E2bClassify, WatchExtension>;

/// The time-out of the attempt, and everything below it.
pub type Bounded<S> = Timeout<Interpreter<S, E2bInterpret>, E2bClassify>;

/// The recommended stack: a layer for HTTP services that talk to E2B, and the handles of all layers
/// in it. All services that it makes share its limits, its breaker and its line.
#[derive(Clone, Debug)]
pub struct Stack<F = Identity> {
    e2b: e2b::Config,
    parts: Parts<F>,
    handles: Handles,
}

/// The layers of a stack, each configured, to be stacked in another order or among others. They
/// share what the [handles](Stack::handles) of their stack show.
///
/// ```
/// use sandtower::e2b::{Config, operation as op};
/// use sandtower::stack::Stack;
/// use tower::ServiceBuilder;
///
/// # fn example(http: sandtower::e2b::HttpTransport) -> Result<(), sandtower::core::BoxError> {
/// let config = Config::new("e2b_0123")?;
/// let parts = Stack::builder(config.clone()).build()?.into_parts();
///
/// // Who waits in line may time out, and a sandbox that fails its check is not made anew.
/// let http = ServiceBuilder::new()
///     .layer(parts.deadline)
///     .layer(parts.health_check)
///     .layer(parts.retry)
///     .layer(parts.safe_create)
///     .layer(parts.timeout)
///     .layer(parts.admission)
///     .layer(parts.interpret)
///     .service(http);
/// let client = sandtower::e2b::Client::new(http, config);
/// # drop(client.kill(&"i0abc".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parts<F = Identity> {
    /// The deadline of calls, written on requests.
    pub deadline: DeadlineLayer<E2bClassify, Http>,
    /// What was [given](Builder::fallback) as a fallback; nothing unless it was.
    pub fallback: F,
    /// A default template in place of one that is not found, if one was named.
    pub default_template: Maybe<FallbackLayer<Rewritten<DefaultTemplate>, E2bClassify>>,
    /// Further attempts.
    pub retry: Maybe<RetryLayer<E2bClassify, Http, Http, E2bReconcile>>,
    /// The account of what is made: it knows each attempt, so keep it right below retry.
    pub safe_create: SafeCreateLayer,
    /// The check of new sandboxes.
    pub health_check: Maybe<HealthCheckLayer<SandboxCheck, E2bClassify>>,
    /// The waiting room, with quota, rate limit and breaker as its gates.
    pub admission: AdmissionLayer<Gates, E2bClassify, WatchExtension>,
    /// The time-out of attempts.
    pub timeout: TimeoutLayer<E2bClassify>,
    /// What reads the answers. All others go by what it finds: keep it innermost.
    pub interpret: InterpretLayer<E2bInterpret>,
}

impl Stack {
    /// To change, drop and insert: begins with what is recommended.
    pub fn builder(config: e2b::Config) -> Builder {
        Builder::new(config)
    }

    /// The stack for a team on `plan`, which reaches E2B as `config` says.
    ///
    /// # Panics
    ///
    /// The numbers of a [custom](Plan::Custom) plan make no sense: the [builder](Self::builder)
    /// answers an error instead.
    pub fn recommended(config: e2b::Config, plan: Plan) -> Self {
        Self::seeded(config, plan, Seed::random())
    }

    /// The same, with all randomness drawn from `seed`.
    ///
    /// # Panics
    ///
    /// As for [`recommended`](Self::recommended).
    #[expect(clippy::expect_used, reason = "constants that a test builds, but for own numbers")]
    pub fn seeded(config: e2b::Config, plan: Plan, seed: Seed) -> Self {
        Self::builder(config).plan(plan).seed(seed).build().expect("a plan with numbers that work")
    }
}

impl<F> Stack<F> {
    pub(super) fn new(e2b: e2b::Config, parts: Parts<F>, handles: Handles) -> Self {
        Self { e2b, parts, handles }
    }

    /// The handles of all layers.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// How E2B is reached.
    pub fn config(&self) -> &e2b::Config {
        &self.e2b
    }

    /// The layers, each configured.
    pub fn parts(&self) -> &Parts<F> {
        &self.parts
    }

    /// The layers, each configured, to stack them in another order.
    pub fn into_parts(self) -> Parts<F> {
        self.parts
    }

    /// A typed client over `http` with this stack around it.
    pub fn client<S: Clone>(&self, http: S) -> Client<Recommended<S, F>>
    where
        F: Layer<Templated<S>>,
    {
        let client = Client::new(self.layer(http), self.e2b.clone());
        client.creations(self.handles.creations.clone())
    }
}

impl<F> Stack<F> {
    /// A client over `http` with nothing around it that rejects, or makes wait: for probes.
    pub(crate) fn unguarded<S>(&self, http: S) -> Client<Bounded<S>> {
        let attempt = self.parts.timeout.layer(self.parts.interpret.layer(http));
        Client::new(attempt, self.e2b.clone())
    }
}

impl<S: Clone, F: Layer<Templated<S>>> Layer<S> for Stack<F> {
    type Service = Recommended<S, F>;

    fn layer(&self, http: S) -> Self::Service {
        let parts = &self.parts;
        let attempt = parts.timeout.layer(parts.interpret.layer(http));
        let checked = parts.health_check.layer(parts.admission.layer(attempt));
        let tried = parts.retry.layer(parts.safe_create.layer(checked));
        parts.deadline.layer(parts.fallback.layer(parts.default_template.layer(tried)))
    }
}
