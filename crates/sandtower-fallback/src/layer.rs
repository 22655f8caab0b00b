use std::sync::Arc;

use sandtower_core::{ByResult, CloneRequest};
use tower_layer::Layer;

use crate::alternative::{Answer, MakeAlternative, ToService};
use crate::failed::Failed;
use crate::handle::Handle;
use crate::rewrite::Rewritten;
use crate::service::{Fallback, Shared};
use crate::when::When;

/// Answers failed calls by an alternative: see the [crate](crate).
///
/// All services made by one layer, and by its clones, share its counters.
///
/// # Events
///
/// With the target `sandtower::fallback`: the alternative is used (`INFO`), and it failed as well
/// (`WARN`); `operation`, `outcome` and `alternative` are their fields.
#[derive(Clone, Debug)]
pub struct FallbackLayer<M, C = ByResult> {
    make: M,
    classify: C,
    when: When,
    handle: Handle,
}

impl<T> FallbackLayer<ToService<T, CloneRequest>> {
    /// Sends the same request to `service`, which is called `name` in logs. Requests are cloned; see
    /// [`resend`](Self::resend).
    pub fn to(name: impl Into<Arc<str>>, service: T) -> Self {
        Self::new(name, ToService { service, resend: CloneRequest })
    }
}

impl<W> FallbackLayer<Rewritten<W>> {
    /// Sends another request to the same service: see [`Rewrite`](crate::Rewrite).
    pub fn rewrite(name: impl Into<Arc<str>>, rewrite: W) -> Self {
        Self::new(name, Rewritten { rewrite })
    }
}

impl<F> FallbackLayer<Answer<F>> {
    /// Sends nothing, and answers with what `answer` makes of the failure; `None`: the call ends
    /// with it.
    ///
    /// It is made anew for each failure, so that no answer has to be [`Clone`]. It is taken also for
    /// failures that may have had an effect.
    pub fn answer<Res>(name: impl Into<Arc<str>>, answer: F) -> Self
    where
        F: Fn(&Failed<'_, Res>) -> Option<Res>,
    {
        Self::new(name, Answer { answer })
    }
}

impl<M> FallbackLayer<M> {
    /// An alternative of any kind, which is called `name` in logs. All requests are one operation,
    /// and every error is a failure, until [`classify`](Self::classify) knows better.
    pub fn new(name: impl Into<Arc<str>>, make: M) -> Self {
        let handle = Handle::new(name.into());
        Self { make, classify: ByResult::default(), when: When::recommended(), handle }
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
    /// Judges answers with `classify`, which also tells whether a request is safe to replay and when
    /// its caller stops caring.
    pub fn classify<D>(self, classify: D) -> FallbackLayer<M, D> {
        let Self { make, when, handle, .. } = self;
        FallbackLayer { make, classify, when, handle }
    }

    /// Which failures are worth the alternative: [`When::recommended`] unless told.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Reads what the services of this layer did.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S, M: MakeAlternative<S>, C: Clone> Layer<S> for FallbackLayer<M, C> {
    type Service = Fallback<S, M::Alternative, C>;

    fn layer(&self, first: S) -> Self::Service {
        let alternative = self.make.make(&first);
        let shared = Shared { alternative, when: self.when, handle: self.handle.clone() };
        Fallback::new(first, self.classify.clone(), Arc::new(shared))
    }
}
