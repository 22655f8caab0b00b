use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use sandtower_core::{
    BoxError, ByResult, Classify, ClassifyResponse, CloneRequest, Resend, Scope, Seed,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::config::Config;
use crate::future::ResponseFuture;
use crate::handle::Handle;
use crate::hooks::{Answers, Reconcile};

/// Retries calls by verdict: see the [crate](crate).
///
/// All services made by one layer share its counters and its budget.
#[derive(Clone, Debug)]
pub struct RetryLayer<C = ByResult, R = CloneRequest, A = (), L = ()> {
    handle: Handle,
    classify: C,
    resend: R,
    answers: A,
    reconcile: L,
}

impl RetryLayer {
    /// A layer of [`Config::recommended`].
    pub fn recommended() -> Self {
        Self::new(Config::recommended())
    }

    /// A layer of [`Config::classic`].
    pub fn classic() -> Self {
        Self::new(Config::classic())
    }

    /// A layer that retries as `config` says. Requests are cloned; see [`resend`](Self::resend).
    pub fn new(config: Config) -> Self {
        let handle = Handle::new(config, Seed::random());
        let classify = ByResult::default();
        Self { handle, classify, resend: CloneRequest, answers: (), reconcile: () }
    }
}

impl<C, R, A, L> RetryLayer<C, R, A, L> {
    /// Judges answers with `classify`, which also tells whether a request is safe to replay and
    /// when its caller stops caring.
    pub fn classify<D>(self, classify: D) -> RetryLayer<D, R, A, L> {
        let Self { handle, resend, answers, reconcile, .. } = self;
        RetryLayer { handle, classify, resend, answers, reconcile }
    }

    /// Copies requests with `resend`; with [`SendOnce`](sandtower_core::SendOnce), requests of any
    /// type pass.
    pub fn resend<T>(self, resend: T) -> RetryLayer<C, T, A, L> {
        let Self { handle, classify, answers, reconcile, .. } = self;
        RetryLayer { handle, classify, resend, answers, reconcile }
    }

    /// Gives up failed answers with `answers`, and tells callers which attempt got theirs.
    pub fn answers<B>(self, answers: B) -> RetryLayer<C, R, B, L> {
        let Self { handle, classify, resend, reconcile, .. } = self;
        RetryLayer { handle, classify, resend, answers, reconcile }
    }

    /// Looks with `reconcile` what became of attempts that may have had an effect.
    pub fn reconcile<M>(self, reconcile: M) -> RetryLayer<C, R, A, M> {
        let Self { handle, classify, resend, answers, .. } = self;
        RetryLayer { handle, classify, resend, answers, reconcile }
    }

    /// Draws jitter from `seed`, for runs that must be the same each time. Counters start anew.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.handle = Handle::new(self.handle.config().clone(), seed);
        self
    }

    /// Reads what the services of this layer did.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S, C, R, A, L> Layer<S> for RetryLayer<C, R, A, L>
where
    S: Clone,
    C: Clone,
    R: Clone,
    A: Clone,
    L: Clone,
{
    type Service = Retry<S, C, R, A, L>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared {
            spare: Mutex::new(inner.clone()),
            handle: self.handle.clone(),
            resend: self.resend.clone(),
            answers: self.answers.clone(),
            reconcile: self.reconcile.clone(),
        };
        Retry { inner, shared: Arc::new(shared), classify: self.classify.clone() }
    }
}

/// A service whose failed calls are tried again.
///
/// Ready when the service below is: the first attempt goes to the very instance that was polled.
/// Later attempts make an instance of their own ready, after their wait; until then they hold
/// nothing below. Only then is the service cloned, from a spare that all clones of this one share.
#[derive(Debug)]
pub struct Retry<S, C = ByResult, R = CloneRequest, A = (), L = ()> {
    inner: S,
    shared: Arc<Shared<S, R, A, L>>,
    classify: C,
}

/// What a call needs once its first attempt has failed, behind one pointer.
pub(crate) struct Shared<S, R, A, L> {
    /// The lock makes it shareable for services that are not [`Sync`].
    spare: Mutex<S>,
    pub(crate) handle: Handle,
    pub(crate) resend: R,
    pub(crate) answers: A,
    pub(crate) reconcile: L,
}

impl<S, R, A, L> Shared<S, R, A, L> {
    pub(crate) fn service(&self) -> S
    where
        S: Clone,
    {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fund(&self, scope: Scope) {
        if let Some(budget) = &self.handle.config().budget {
            budget.deposit(scope);
        }
    }
}

impl<S, C, R, A, L, Req> Service<Req> for Retry<S, C, R, A, L>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    R: Resend<Req>,
    A: Answers<S::Response>,
    L: Reconcile<S, Req, S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, C::Classifier, R, A, L>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let judge = self.classify.classify(&request);
        let template = self.shared.resend.copy(&request);
        let first = self.inner.call(request);
        ResponseFuture::new(first, judge, template, Arc::clone(&self.shared))
    }
}

impl<S: Clone, C: Clone, R, A, L> Clone for Retry<S, C, R, A, L> {
    fn clone(&self) -> Self {
        let (inner, classify) = (self.inner.clone(), self.classify.clone());
        Self { inner, classify, shared: Arc::clone(&self.shared) }
    }
}

impl<S, R, A, L> std::fmt::Debug for Shared<S, R, A, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("handle", &self.handle).finish_non_exhaustive()
    }
}
