use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, CloneRequest, Judge, Resend, Seed};
use tower_layer::Layer;
use tower_service::Service;

use crate::config::Config;
use crate::future::ResponseFuture;
use crate::handle::Handle;

/// Retries calls by verdict: see the [crate](crate).
///
/// All services made by one layer share its counters.
#[derive(Clone, Debug)]
pub struct RetryLayer<C = ByResult, R = CloneRequest> {
    handle: Handle,
    classify: C,
    resend: R,
}

impl RetryLayer {
    /// A layer of [`Config::recommended`].
    pub fn recommended() -> Self {
        Self::new(Config::recommended())
    }

    /// A layer of [`Config::original`].
    pub fn original() -> Self {
        Self::new(Config::original())
    }

    /// A layer that retries as `config` says. Requests are cloned; see [`resend`](Self::resend).
    pub fn new(config: Config) -> Self {
        let handle = Handle::new(config, Seed::random());
        Self { handle, classify: ByResult::default(), resend: CloneRequest }
    }
}

impl<C, R> RetryLayer<C, R> {
    /// Judges answers with `classify`, which also tells whether a request is safe to replay and
    /// when its caller stops caring.
    pub fn classify<D>(self, classify: D) -> RetryLayer<D, R> {
        RetryLayer { handle: self.handle, classify, resend: self.resend }
    }

    /// Copies requests with `resend`; with [`SendOnce`](sandtower_core::SendOnce), requests of any
    /// type pass.
    pub fn resend<T>(self, resend: T) -> RetryLayer<C, T> {
        RetryLayer { handle: self.handle, classify: self.classify, resend }
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

impl<S: Clone, C: Clone, R: Clone> Layer<S> for RetryLayer<C, R> {
    type Service = Retry<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let spare = Spare { service: Mutex::new(inner.clone()), handle: self.handle.clone() };
        Retry {
            inner,
            spare: Arc::new(spare),
            classify: self.classify.clone(),
            resend: self.resend.clone(),
        }
    }
}

/// A service whose failed calls are tried again.
///
/// Ready when the service below is: the first attempt goes to the very instance that was polled.
/// Later attempts make an instance of their own ready, after their wait; until then they hold
/// nothing below. Only then is the service cloned, from a spare that all clones of this one share.
#[derive(Clone, Debug)]
pub struct Retry<S, C = ByResult, R = CloneRequest> {
    inner: S,
    spare: Arc<Spare<S>>,
    classify: C,
    resend: R,
}

/// What later attempts need. The lock makes it shareable for services that are not [`Sync`].
pub(crate) struct Spare<S> {
    service: Mutex<S>,
    pub(crate) handle: Handle,
}

impl<S: Clone> Spare<S> {
    pub(crate) fn service(&self) -> S {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> std::fmt::Debug for Spare<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spare").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl<S, C, R, Req> Service<Req> for Retry<S, C, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Judge: Judge<S::Response>,
    R: Resend<Req> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, C::Judge, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let judge = self.classify.ask(&request);
        let copy = self.resend.copy(&request);
        let first = self.inner.call(request);
        ResponseFuture::new(first, judge, copy, self.resend.clone(), Arc::clone(&self.spare))
    }
}
