use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use sandtower_core::{
    BoxError, Classify, ClassifyResponse, CloneRequest, HasInfo, Now, Resend, Scope, Seed, Tick,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::config::Config;
use crate::future::ResponseFuture;
use crate::handle::Handle;
use crate::hooks::{Reconcile, ResponseHooks};
use crate::on_retry::{OnRetry, RetryEvent};
use crate::retry_if::RetryIf;

/// Retries calls by verdict: see the [crate](crate).
///
/// All services of one layer share its counters and its budget.
///
/// # Events
///
/// With the target `sandtower::retry`: a retry, a return to the queue below, and a call that succeeds
/// after a retry (`INFO`), and a failed call that is not retried (`WARN`); `operation`, `attempt`,
/// `outcome`, and `wait_ms` or `why` are their fields.
#[derive(Clone, Debug)]
pub struct RetryLayer<C, R = CloneRequest, H = (), L = ()> {
    handle: Handle,
    classify: C,
    resend: R,
    hooks: H,
    reconcile: L,
}

impl<C> RetryLayer<C> {
    /// A layer that retries as `config` says.
    ///
    /// `classify` says what responses mean, whether a request is safe to replay, and its deadline:
    /// [`classify_fn`](sandtower_core::classify_fn) builds one from two functions. With
    /// [`ByResult`](sandtower_core::ByResult) every error is a failure that may have had an effect, so
    /// that only requests that are declared safe to replay are retried.
    ///
    /// Requests are cloned; see [`resend`](Self::resend).
    pub fn new(config: Config, classify: C) -> Self {
        let handle = Handle::new(config, Seed::random(), OnRetry::default());
        Self { handle, classify, resend: CloneRequest, hooks: (), reconcile: () }
    }
}

impl<Res> RetryLayer<RetryIf<Res>> {
    /// A layer with the numbers of [`Config::recommended`], which retries if `retry` returns `true`:
    /// the call failed, and sending its request again does no harm. See [`RetryIf`]. For HTTP there is
    /// `sandtower_http::retry_layer`, which knows which requests are idempotent.
    ///
    /// ```
    /// use sandtower_core::BoxError;
    /// use sandtower_retry::RetryLayer;
    /// use tower::{Layer, service_fn};
    ///
    /// let retry = RetryLayer::retry_if(|result: Result<&u16, &BoxError>| {
    ///     matches!(result, Ok(503) | Err(_))
    /// });
    /// let service = retry.layer(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
    /// # let _ = tower::ServiceExt::<()>::oneshot(service, ());
    /// ```
    #[doc(alias = "predicate")]
    pub fn retry_if(
        retry: impl Fn(Result<&Res, &BoxError>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::new(Config::recommended(), RetryIf::new(retry))
    }
}

impl<C, R, H, L> RetryLayer<C, R, H, L> {
    /// Copies requests with `resend`; with [`SendOnce`](sandtower_core::SendOnce), requests of any
    /// type pass.
    pub fn resend<T>(self, resend: T) -> RetryLayer<C, T, H, L> {
        let Self { handle, classify, hooks, reconcile, .. } = self;
        RetryLayer { handle, classify, resend, hooks, reconcile }
    }

    /// Discards failed responses with `hooks`, and records attempts on the last ones.
    pub fn response_hooks<I>(self, hooks: I) -> RetryLayer<C, R, I, L> {
        let Self { handle, classify, resend, reconcile, .. } = self;
        RetryLayer { handle, classify, resend, hooks, reconcile }
    }

    /// Finds out with `reconcile` what became of attempts that may have had an effect.
    pub fn reconcile<M>(self, reconcile: M) -> RetryLayer<C, R, H, M> {
        let Self { handle, classify, resend, hooks, .. } = self;
        RetryLayer { handle, classify, resend, hooks, reconcile }
    }

    /// Draws jitter from `seed`, for reproducible runs. Resets the counters.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.handle = Handle::new(self.handle.config().clone(), seed, self.handle.hook());
        self
    }

    /// Calls `hook` before each retry, once it is decided on, in the task of the call and with no lock
    /// held. It must not block. Counters start anew; a hook that was set before is replaced.
    ///
    /// ```
    /// use sandtower_core::ByResult;
    /// use sandtower_retry::{Config, RetryLayer};
    ///
    /// let layer = RetryLayer::new(Config::recommended(), ByResult::default())
    ///     .on_retry(|retry| println!("attempt {} of {} failed", retry.attempt, retry.info.operation));
    /// # let _ = layer;
    /// ```
    #[doc(alias = "listener")]
    #[doc(alias = "callback")]
    #[must_use]
    pub fn on_retry(mut self, hook: impl Fn(&RetryEvent) + Send + Sync + 'static) -> Self {
        let seed = self.handle.seed().clone();
        self.handle = Handle::new(self.handle.config().clone(), seed, OnRetry::new(hook));
        self
    }

    /// The counters of this layer's services.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S, C, R, H, L> Layer<S> for RetryLayer<C, R, H, L>
where
    S: Clone,
    C: Clone,
    R: Clone,
    H: Clone,
    L: Clone,
{
    type Service = Retry<S, C, R, H, L>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared {
            pristine: Mutex::new(inner.clone()),
            handle: self.handle.clone(),
            resend: self.resend.clone(),
            hooks: self.hooks.clone(),
            reconcile: self.reconcile.clone(),
        };
        Retry { inner, shared: Arc::new(shared), classify: self.classify.clone() }
    }
}

/// A service that retries failed calls.
///
/// Ready when the service below is: the first attempt uses the instance that was polled. An instance that
/// fails to become ready is replaced. Later attempts make their own instance ready, after their wait;
/// until then they hold nothing below. Only then is the service cloned.
#[derive(Debug)]
pub struct Retry<S, C, R = CloneRequest, H = (), L = ()> {
    inner: S,
    shared: Arc<Shared<S, R, H, L>>,
    classify: C,
}

/// The state for a call whose first attempt has failed, behind one pointer.
pub(crate) struct Shared<S, R, H, L> {
    /// Never polled. The lock makes it shareable for services that are not [`Sync`], and is held for
    /// nothing but a clone.
    pristine: Mutex<S>,
    pub(crate) handle: Handle,
    pub(crate) resend: R,
    pub(crate) hooks: H,
    pub(crate) reconcile: L,
}

impl<S, R, H, L> Shared<S, R, H, L> {
    /// An instance that has not been polled.
    pub(crate) fn fresh(&self) -> S
    where
        S: Clone,
    {
        self.pristine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fund(&self, scope: Scope) {
        if let Some(budget) = &self.handle.config().budget {
            budget.deposit(scope, &Now::new());
        }
    }
}

impl<S, C, R, H, L, Req> Service<Req> for Retry<S, C, R, H, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    H: ResponseHooks<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, C::Classifier, R, H, L>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let polled = self.inner.poll_ready(cx);
        if let Poll::Ready(Err(_)) = polled {
            self.inner = self.shared.fresh();
        }
        polled.map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        let arrived = classifier.info().arrived.unwrap_or_else(Tick::now);
        let template = self.shared.resend.copy(&request);
        let first = self.inner.call(request);
        ResponseFuture::new(first, classifier, arrived, template, Arc::clone(&self.shared))
    }
}

impl<S: Clone, C: Clone, R, H, L> Clone for Retry<S, C, R, H, L> {
    fn clone(&self) -> Self {
        let (inner, classify) = (self.inner.clone(), self.classify.clone());
        Self { inner, classify, shared: Arc::clone(&self.shared) }
    }
}

impl<S, R, H, L> std::fmt::Debug for Shared<S, R, H, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("handle", &self.handle).finish_non_exhaustive()
    }
}
