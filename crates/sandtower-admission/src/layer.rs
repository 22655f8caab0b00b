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
/// All services made by one layer, and by its clones, share it.
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
    /// appears in rejections and logs. All requests are in one queue, until
    /// [`classify`](Self::classify) tells their operations apart.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "it never panics: the configuration is a constant that a test builds"
    )]
    pub fn recommended(name: impl Into<Arc<str>>) -> Self {
        Self::new(Config::new(name)).expect("the limits of the default are above 0")
    }

    /// A layer with admission control of its own. All requests are in one queue, until
    /// [`classify`](Self::classify) tells their operations apart.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::with_control(AdmissionControl::new(config)?))
    }
}

impl<G: Gate> AdmissionLayer<G> {
    /// A layer whose calls also need a permit of `gates`: a breaker, a rate limit, or a pair of
    /// gates. They must not be in the stack a second time as layers of their own.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        Ok(Self::with_control(AdmissionControl::with_gates(config, gates)?))
    }
}

impl<G> AdmissionLayer<G> {
    /// A layer over admission control that exists.
    pub fn with_control(control: AdmissionControl<G>) -> Self {
        Self { control, classify: ByResult::default(), watch: () }
    }
}

impl<G, C, W> AdmissionLayer<G, C, W> {
    /// Tells with `classify` which queue a request belongs to, when its caller stops caring, and what
    /// its response tells the gates.
    pub fn classify<D>(self, classify: D) -> AdmissionLayer<G, D, W> {
        AdmissionLayer { control: self.control, classify, watch: self.watch }
    }

    /// Lets callers watch their position by the [`Progress`](crate::Progress) that `watch` finds with
    /// their request.
    pub fn watch<V>(self, watch: V) -> AdmissionLayer<G, C, V> {
        AdmissionLayer { control: self.control, classify: self.classify, watch }
    }

    /// The handle, to read and to steer.
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
/// Always ready: backpressure is the bounded queue and its rejections. The service below is made ready
/// only for a call whose turn it is; a call that cannot be sent at once waits in its future with an
/// instance of its own, for which `S` has to be [`Clone`].
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
        // The user's code comes first: a panic of it finds nothing acquired.
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
