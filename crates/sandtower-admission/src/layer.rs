use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{
    BoxError, ByResult, Classify, ClassifyResponse, Deferred, Gate, Guard, HasInfo, Now, Spare,
    WhenReady,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::config::{Config, ConfigError};
use crate::control::AdmissionControl;
use crate::future::ResponseFuture;
use crate::progress::{Admitted, Watch};
use crate::ticket::Ticket;

/// Puts services behind admission control: see the [crate](crate).
///
/// All services created by one layer and its clones share one admission control.
///
/// ```
/// use sandtower_admission::AdmissionLayer;
/// use tower::{Layer, service_fn};
///
/// let service = AdmissionLayer::recommended("search")
///     .layer(service_fn(async |_: ()| Ok::<_, std::io::Error>(())));
/// # let _ = tower::ServiceExt::<()>::oneshot(service, ());
/// ```
#[derive(Clone, Debug)]
pub struct AdmissionLayer<G = (), C = ByResult, W = ()> {
    control: AdmissionControl<G>,
    classify: C,
    watch: W,
}

impl AdmissionLayer {
    /// A layer with the numbers of [`Config::new`]: 64 calls in flight, 1,024 in the queue. `name`
    /// appears in rejections and logs. All requests share one queue unless
    /// [`classify`](Self::classify) distinguishes operations.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "it never panics: the configuration is a constant that a test builds"
    )]
    pub fn recommended(name: impl Into<Arc<str>>) -> Self {
        Self::new(Config::new(name)).expect("the limits of the default are above 0")
    }

    /// A layer with admission control of its own. All requests share one queue unless
    /// [`classify`](Self::classify) distinguishes operations.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::with_control(AdmissionControl::new(config)?))
    }
}

impl<G: Gate> AdmissionLayer<G> {
    /// A layer whose calls also need a permit from each of `gates`: a breaker, a rate limit, or a pair
    /// of gates. Do not add the same gates to the stack as layers of their own.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        Ok(Self::with_control(AdmissionControl::with_gates(config, gates)?))
    }
}

impl<G> AdmissionLayer<G> {
    /// A layer that uses existing admission control.
    pub fn with_control(control: AdmissionControl<G>) -> Self {
        Self { control, classify: ByResult::default(), watch: () }
    }
}

impl<G, C, W> AdmissionLayer<G, C, W> {
    /// Classifies requests and responses with `classify`: the operation whose queue a request joins, its
    /// deadline, and the verdict that the gates record.
    pub fn classify<D>(self, classify: D) -> AdmissionLayer<G, D, W> {
        AdmissionLayer { control: self.control, classify, watch: self.watch }
    }

    /// Reports the position of a call through the [`Progress`](crate::Progress) that `watch` finds in its
    /// request.
    pub fn watch<V>(self, watch: V) -> AdmissionLayer<G, C, V> {
        AdmissionLayer { control: self.control, classify: self.classify, watch }
    }

    /// The handle to this admission control.
    pub fn control(&self) -> &AdmissionControl<G> {
        &self.control
    }
}

impl<S: Clone, G, C: Clone, W: Clone> Layer<S> for AdmissionLayer<G, C, W> {
    type Service = Admission<S, G, C, W>;

    fn layer(&self, inner: S) -> Self::Service {
        let (classify, watch) = (self.classify.clone(), self.watch.clone());
        Admission { inner: Spare::new(inner), control: self.control.clone(), classify, watch }
    }
}

/// A service behind admission control.
///
/// Always ready: backpressure is the bounded queue and its rejections. The inner service is polled for
/// readiness only for an admitted call. A call that cannot be sent immediately waits in its future with
/// a clone of the inner service, so `S` must be [`Clone`].
#[derive(Clone, Debug)]
pub struct Admission<S: Clone, G = (), C = ByResult, W = ()> {
    inner: Spare<S>,
    control: AdmissionControl<G>,
    classify: C,
    watch: W,
}

impl<S, G, C, W, Req> Service<Req> for Admission<S, G, C, W>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    G: Gate,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    W: Watch<Req>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, G, C::Classifier>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // Runs the user's code before anything is acquired, in case it panics.
        let classifier = self.classify.classify(&request);
        let operation = classifier.info().operation;
        let progress = self.watch.progress(&request);
        let (now, mut later) = (Now::new(), Deferred::new());
        match self.control.enter(classifier.info(), &now, &mut later) {
            Some(Ok(slot)) => {
                let admitted = Admitted::new(progress, operation);
                let mut guard = Guard::new(self.control.clone(), classifier, slot);
                drop(later);
                let call = WhenReady::start(&mut self.inner, request);
                if call.is_sent() {
                    guard.sent(now.tick());
                }
                ResponseFuture::admitted(guard, call, admitted)
            }
            Some(Err(rejection)) => ResponseFuture::rejected(rejection),
            None => {
                let info = *classifier.info();
                let ticket = Ticket::new(self.control.clone(), info, now.tick(), progress);
                ResponseFuture::queued(ticket, self.inner.fresh(), request, classifier)
            }
        }
    }
}
