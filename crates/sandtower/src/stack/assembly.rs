use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::Full;
use tower::util::{Either, option_layer};
use tower_layer::Layer;
use tower_service::Service;

use super::fallback::{BelowFallback, StackFallback};
use super::gates::Gates;
use super::service::{StackService, WatchExtension};
use super::shown::Shown;
use super::transport::{Body, Erased, SendBody, Transport, transport};
use super::uploads::Uploads;
use super::{Builder, Handles, Plan};
use crate::admission::{Admission, AdmissionLayer};
use crate::core::{BoxError, Seed};
use crate::e2b::{
    self, Client, DefaultTemplate, E2bClassify, E2bInterpret, E2bReconcile, SandboxCheck, Tracking,
    TrackingLayer,
};
use crate::fallback::{Fallback, FallbackLayer, RewriteAlternative, Rewritten};
use crate::health_check::{HealthCheck, HealthCheckLayer};
use crate::http::{
    AttemptSpanLayer, AttemptSpans, ByCaller, ExplainLayer, ExplainService, Http, InterpretLayer,
    Interpreted, Interpreter,
};
#[cfg(feature = "pool")]
use crate::pool::PoolLayer;
use crate::retry::{Retry, RetryLayer};
use crate::timeout::{Deadline, DeadlineLayer, Timeout, TimeoutLayer};

// From the inside out. The types that users name stand for them: `StackService` and `BelowFallback`.
pub(crate) type Attempt<Q> = AttemptSpans<
    Timeout<Interpreter<Transport<Q>, E2bInterpret>, E2bClassify, Uploads>,
    E2bClassify,
>;
type Admitted<Q> = Shown<Admission<Attempt<Q>, Gates, E2bClassify, WatchExtension>>;
type Checked<Q> = Either<HealthCheck<Admitted<Q>, SandboxCheck<Q>, E2bClassify>, Admitted<Q>>;
type Tracked<Q> = Tracking<Checked<Q>>;
type Retried<Q> = Either<Retry<Tracked<Q>, E2bClassify, Http, Http, E2bReconcile>, Tracked<Q>>;
pub(super) type Templated<Q> = Either<
    Fallback<Retried<Q>, RewriteAlternative<Retried<Q>, DefaultTemplate>, E2bClassify>,
    Retried<Q>,
>;
type WithFallback<Q> = Either<Erased<Q, LayersBody>, BelowFallback<Q>>;
pub(super) type Layers<Q> =
    ExplainService<Deadline<WithFallback<Q>, E2bClassify, ByCaller<E2bClassify>>, E2bClassify>;
pub(super) type LayersBody = Interpreted<Body>;

/// The recommended stack: a layer for HTTP services that reach E2B, and the handles of all its layers. All
/// services that it creates share its limits, breakers and queues.
#[derive(Clone, Debug)]
pub struct Stack {
    e2b: e2b::Config,
    parts: Parts,
    handles: Handles,
}

/// The configured layers of a stack, to be stacked in another order or among others. They share their
/// state with the [handles](Stack::handles) of the stack.
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
/// // Here calls may time out in the queue, and a sandbox that fails its check is not replaced.
/// let http = ServiceBuilder::new()
///     .layer(parts.explain)
///     .layer(parts.deadline)
///     .option_layer(parts.health_check)
///     .option_layer(parts.retry)
///     .layer(parts.tracking)
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
pub struct Parts {
    /// What explains calls. Without [`Builder::explain`] and its kind it does nothing.
    pub explain: ExplainLayer<E2bClassify>,
    /// The deadline of calls, written on requests.
    pub deadline: DeadlineLayer<E2bClassify, ByCaller<E2bClassify>>,
    /// The warm pool, if there is one.
    #[cfg(feature = "pool")]
    pub pool: Option<PoolLayer>,
    /// The [fallback](Builder::fallback), if there is one.
    pub fallback: Option<StackFallback>,
    /// A default template for one that does not exist, if configured.
    pub default_template: Option<FallbackLayer<Rewritten<DefaultTemplate>, E2bClassify>>,
    /// Retries.
    pub retry: Option<RetryLayer<E2bClassify, Http, Http, E2bReconcile>>,
    /// Creation tracking: it needs to see each attempt, so keep it directly below retry.
    pub tracking: TrackingLayer,
    /// The check of new sandboxes.
    pub health_check: Option<HealthCheckLayer<SandboxCheck, E2bClassify>>,
    /// Admission control, with quota, rate limit and breakers as its gates.
    pub admission: AdmissionLayer<Gates, E2bClassify, WatchExtension>,
    /// The spans of attempts. Without [`Builder::traces`] it does nothing.
    pub attempt_spans: AttemptSpanLayer<E2bClassify>,
    /// The timeout of attempts.
    pub timeout: TimeoutLayer<E2bClassify, Uploads>,
    /// Interprets responses. All other layers depend on it: keep it innermost.
    pub interpret: InterpretLayer<E2bInterpret>,
}

impl Stack {
    /// A builder with the recommended configuration, to change it.
    pub fn builder(config: e2b::Config) -> Builder {
        Builder::new(config)
    }

    /// The recommended stack for a team on `plan`, with E2B at `config`.
    ///
    /// # Panics
    ///
    /// If the numbers of a [custom](Plan::Custom) plan are invalid: the [builder](Self::builder)
    /// returns an error instead.
    pub fn recommended(config: e2b::Config, plan: Plan) -> Self {
        Self::seeded(config, plan, Seed::random())
    }

    /// The same, with all randomness drawn from `seed`.
    ///
    /// # Panics
    ///
    /// Those of [`recommended`](Self::recommended).
    #[expect(clippy::expect_used, reason = "constants that a test builds, but for own numbers")]
    pub fn seeded(config: e2b::Config, plan: Plan, seed: Seed) -> Self {
        Self::builder(config).plan(plan).seed(seed).build().expect("a plan with valid numbers")
    }
}

impl Stack {
    pub(super) fn new(e2b: e2b::Config, parts: Parts, handles: Handles) -> Self {
        Self { e2b, parts, handles }
    }

    /// The handles of all layers.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// The address of E2B.
    pub fn config(&self) -> &e2b::Config {
        &self.e2b
    }

    /// The configured layers.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The configured layers, to stack them in another order.
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// A typed client over `http` within this stack.
    pub fn client<S, B>(&self, http: S) -> Client<StackService>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.client_of(self.layer(http))
    }

    pub(crate) fn client_of(&self, service: StackService) -> Client<StackService> {
        Client::new(service, self.e2b.clone()).tracker(self.handles.tracker.clone())
    }

    /// A client over `http` with nothing around it that rejects, or waits: for probes.
    pub(crate) fn unguarded<S, B>(&self, http: S) -> Client<Attempt<Full<Bytes>>>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Client::new(self.attempt(transport(http)), self.e2b.clone())
    }

    /// The stack around `http`, which takes requests with bodies of type `Q`: streams too, if `Q` is
    /// [`RequestBody`](crate::http::RequestBody). As a [`Layer`], a stack takes `Full<Bytes>` alone.
    ///
    /// The [fallback](Builder::fallback) is not in it: it is written for whole bodies.
    ///
    /// ```
    /// use sandtower::e2b::{Config, HttpTransport};
    /// use sandtower::http::RequestBody;
    /// use sandtower::stack::{Stack, StackService};
    ///
    /// # fn main() -> Result<(), sandtower::core::BoxError> {
    /// let stack = Stack::builder(Config::new("e2b_0123")?).build()?;
    /// let proxy: StackService<RequestBody> = stack.service(HttpTransport::new()?);
    /// # drop(proxy);
    /// # Ok(())
    /// # }
    /// ```
    pub fn service<S, Q, B>(&self, http: S) -> StackService<Q>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: SendBody,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let below = BelowFallback::new(self.below_fallback(transport(http)));
        let limited = self.parts.deadline.layer(self.pooled(Either::Right(below)));
        StackService::new(self.parts.explain.layer(limited))
    }

    /// With the pool above, if there is one: it is started.
    fn pooled<Q: SendBody>(&self, below: WithFallback<Q>) -> WithFallback<Q> {
        #[cfg(feature = "pool")]
        if let Some(pool) = &self.parts.pool {
            let pooled = pool.layer(below);
            pooled.start::<Q, LayersBody>();
            return Either::Left(Erased::new(pooled));
        }
        below
    }

    fn below_fallback<Q: SendBody>(&self, transport: Transport<Q>) -> Templated<Q> {
        let parts = &self.parts;
        let admitted = Shown(parts.admission.layer(self.attempt(transport)));
        let health_check = parts.health_check.clone();
        let health_check = health_check.map(|layer| layer.map_check(SandboxCheck::with_body));
        let checked = option_layer(health_check).layer(admitted);
        let retried = option_layer(parts.retry.clone()).layer(parts.tracking.layer(checked));
        option_layer(parts.default_template.clone()).layer(retried)
    }

    fn attempt<Q: SendBody>(&self, transport: Transport<Q>) -> Attempt<Q> {
        let timed = self.parts.timeout.layer(self.parts.interpret.layer(transport));
        self.parts.attempt_spans.layer(timed)
    }
}

impl<S, B> Layer<S> for Stack
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Service = StackService;

    fn layer(&self, http: S) -> StackService {
        let below = BelowFallback::new(self.below_fallback(transport(http)));
        let whole = match &self.parts.fallback {
            Some(fallback) => Either::Left(fallback.layer(below)),
            None => Either::Right(below),
        };
        let limited = self.parts.deadline.layer(self.pooled(whole));
        StackService::new(self.parts.explain.layer(limited))
    }
}
