use std::task::{Context, Poll};

use sandtower_core::{
    BoxError, ByResult, Classify, ClassifyResponse, Clock, Gate, Guard, HasInfo, WhenReady,
};
use sandtower_time::TokioClock;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::{Config, ConfigError};
use crate::future::ResponseFuture;
use crate::progress::{Inside, Watch};
use crate::room::AdmissionControl;
use crate::ticket::Ticket;

/// Puts services behind a waiting room: see the [crate](crate).
///
/// All services made by one layer, and by its clones, share its room.
#[derive(Clone, Debug)]
pub struct AdmissionLayer<G = (), C = ByResult, W = ()> {
    room: AdmissionControl<G>,
    classify: C,
    watch: W,
}

impl AdmissionLayer {
    /// A layer with a room of its own. All requests stand in one lane, until
    /// [`classify`](Self::classify) tells their operations apart.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::in_room(AdmissionControl::new(config)?))
    }
}

impl<G: Gate + Send + Sync + 'static> AdmissionLayer<G> {
    /// A layer whose calls also need a token of `gates`: a breaker, a rate limit, or a pair of
    /// gates. They must not stand in the stack a second time as layers of their own.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn with_gates(config: Config, gates: G) -> Result<Self, ConfigError> {
        Ok(Self::in_room(AdmissionControl::with_gates(config, gates)?))
    }
}

impl<G> AdmissionLayer<G> {
    /// A layer in front of a room that exists.
    pub fn in_room(room: AdmissionControl<G>) -> Self {
        Self { room, classify: ByResult::default(), watch: () }
    }
}

impl<G, C, W> AdmissionLayer<G, C, W> {
    /// Tells with `classify` which lane a request stands in, when its caller stops caring, and what
    /// its answer tells the gates.
    pub fn classify<D>(self, classify: D) -> AdmissionLayer<G, D, W> {
        AdmissionLayer { room: self.room, classify, watch: self.watch }
    }

    /// Lets callers watch their place by the [`Progress`](crate::Progress) that `watch` finds with
    /// their request.
    pub fn watch<V>(self, watch: V) -> AdmissionLayer<G, C, V> {
        AdmissionLayer { room: self.room, classify: self.classify, watch }
    }

    /// The room, to read and to steer.
    pub fn room(&self) -> &AdmissionControl<G> {
        &self.room
    }
}

impl<S, G, C: Clone, W: Clone> Layer<S> for AdmissionLayer<G, C, W> {
    type Service = Admission<S, G, C, W>;

    fn layer(&self, inner: S) -> Self::Service {
        let (classify, watch) = (self.classify.clone(), self.watch.clone());
        Admission { inner, room: self.room.clone(), classify, watch }
    }
}

/// A service behind a waiting room.
///
/// Always ready: backpressure is the bounded line and its rejections. The service below is made ready
/// only for a call whose turn it is; a call that cannot be sent at once waits in its future with an
/// instance of its own, for which `inner` has to be [`Clone`].
#[derive(Clone, Debug)]
pub struct Admission<S, G = (), C = ByResult, W = ()> {
    inner: S,
    room: AdmissionControl<G>,
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
        let judge = self.classify.classify(&request);
        let now = TokioClock.begin();
        match self.room.enter(judge.info(), now) {
            Some(Ok(slot)) => {
                let inside = Inside::new(self.watch.progress(&request));
                let mut guard = Guard::new(self.room.clone(), TokioClock, judge, slot);
                let inner = &mut self.inner;
                let call = TokioClock.hand_down(now, || WhenReady::start(inner, request));
                if call.is_sent() {
                    guard.sent(now);
                }
                ResponseFuture::admitted(guard, call, inside)
            }
            Some(Err(rejection)) => ResponseFuture::rejected(rejection),
            None => {
                let progress = self.watch.progress(&request);
                let ticket = Ticket::new(self.room.clone(), *judge.info(), now, progress);
                ResponseFuture::queued(ticket, self.inner.clone(), request, judge)
            }
        }
    }
}
