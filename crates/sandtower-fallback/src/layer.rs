use std::sync::Arc;

use sandtower_core::CloneRequest;
use tower_layer::Layer;

use crate::alternative::{MakeAlternative, Respond, ToService};
use crate::failed::Failed;
use crate::handle::Handle;
use crate::rewrite::Rewritten;
use crate::service::{Fallback, Shared};
use crate::when::When;

/// Uses an alternative for failed calls: see the [crate](crate).
///
/// A classifier says what responses mean, whether a request is safe to replay, and its deadline; with
/// [`ByResult`](sandtower_core::ByResult) every error is a failure that may have had an effect, so that
/// another service gets only requests that are declared safe to replay.
///
/// All services of a layer, and of its clones, share its counters.
///
/// # Events
///
/// With the target `sandtower::fallback`: the alternative is used (`INFO`), and it failed as well
/// (`WARN`); `operation`, `outcome` and `alternative` are their fields.
#[derive(Clone, Debug)]
pub struct FallbackLayer<M, C> {
    make: M,
    classify: C,
    when: When,
    handle: Handle,
}

impl<T, C> FallbackLayer<ToService<T, CloneRequest>, C> {
    /// Sends the same request to `service`, which is called `name` in logs. Requests are cloned; see
    /// [`resend`](Self::resend).
    pub fn to(name: impl Into<Arc<str>>, service: T, classify: C) -> Self {
        Self::new(name, ToService { service, resend: CloneRequest }, classify)
    }
}

impl<W, C> FallbackLayer<Rewritten<W>, C> {
    /// Sends another request to the same service: see [`Rewrite`](crate::Rewrite).
    pub fn rewrite(name: impl Into<Arc<str>>, rewrite: W, classify: C) -> Self {
        Self::new(name, Rewritten { rewrite }, classify)
    }
}

impl<F, C> FallbackLayer<Respond<F>, C> {
    /// Sends nothing, and responds with the result of `respond` on the failure; `None`: the call ends with
    /// the failure.
    ///
    /// It is called for each failure, so responses need not be [`Clone`], and also for failures that may
    /// have had an effect.
    pub fn respond<Res>(name: impl Into<Arc<str>>, respond: F, classify: C) -> Self
    where
        F: Fn(&Failed<'_, Res>) -> Option<Res>,
    {
        Self::new(name, Respond { respond }, classify)
    }
}

impl<M, C> FallbackLayer<M, C> {
    /// An alternative of any kind, which is called `name` in logs.
    pub fn new(name: impl Into<Arc<str>>, make: M, classify: C) -> Self {
        let handle = Handle::new(name.into());
        Self { make, classify, when: When::recommended(), handle }
    }
}

impl<T, R, C> FallbackLayer<ToService<T, R>, C> {
    /// Copies requests with `resend`.
    pub fn resend<P>(self, resend: P) -> FallbackLayer<ToService<T, P>, C> {
        let Self { make, classify, when, handle } = self;
        FallbackLayer { make: ToService { service: make.service, resend }, classify, when, handle }
    }
}

impl<M, C> FallbackLayer<M, C> {
    /// For which failures the alternative is used; [`When::recommended`] by default.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// The counters of this layer's services.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S: Clone, M: MakeAlternative<S>, C: Clone> Layer<S> for FallbackLayer<M, C> {
    type Service = Fallback<S, M::Alternative, C>;

    fn layer(&self, first: S) -> Self::Service {
        let alternative = self.make.make(&first);
        let shared = Shared { alternative, when: self.when, handle: self.handle.clone() };
        Fallback::new(first, self.classify.clone(), Arc::new(shared))
    }
}
