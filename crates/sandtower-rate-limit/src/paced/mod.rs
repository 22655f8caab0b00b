//! Waiting for a rate limit instead of being rejected by it.

mod future;
mod line;
mod pacer;
mod timer;

use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::{
    BoxError, ByResult, Classify, ClassifyResponse, Clock, Guard, HasInfo, WhenReady,
};
use sandtower_time::TokioClock;
use tower_layer::Layer;
use tower_service::Service;

use crate::RateLimit;

pub use future::PaceFuture;
pub use pacer::{LineStats, Pacer};

/// Makes callers wait until their attempts are predicted to pass a [`RateLimit`], instead of
/// rejecting them.
///
/// The wait is in the future of the call, within its deadline: a deadline that cannot be met is
/// rejected at once, and while it waits a caller holds nothing below. The oldest in line goes first
/// until the line has stood for a second, and from then on the newest. Nobody passes those whose
/// turn it is, and nobody is woken who is not next. What is known of the limit is both what the
/// [config](crate::Config) says, whatever its [`Mode`](crate::Mode), and what the server's answers
/// teach, told apart by operation and scope; the line is the operation's.
///
/// In a stack with a waiting room the [`RateLimit`] is one of its gates instead.
///
/// ```
/// use sandtower_core::{Asks, BoxError, Operation};
/// use sandtower_rate_limit::{Config, Pace, PaceLayer, RateLimit};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let config = Config::new("E2B").pace(Operation::CALL, Pace::PRO_CREATIONS);
/// let layer = PaceLayer::new(RateLimit::new(config)?);
/// let service = layer.layer(service_fn(async |name: &str| Ok::<_, BoxError>(name.len())));
/// assert_eq!(service.oneshot("a sandbox").await?, 9);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PaceLayer<C = ByResult> {
    pacer: Pacer,
    classify: C,
}

impl PaceLayer {
    /// Every service made by this layer and by its clones stands in the same lines, before `limit`:
    /// 1,024 callers of an operation at most, each for 2 minutes at most.
    pub fn new(limit: RateLimit) -> Self {
        let pacer = Pacer::new(limit, 1_024, Duration::from_secs(120));
        Self { pacer, classify: ByResult::default() }
    }
}

impl<C> PaceLayer<C> {
    /// How many callers of an operation may wait. When the line is full, newcomers are rejected, or
    /// take the place of the oldest once the newest go first. 0: nobody waits. Say it before services
    /// are made: they would have lines of their own.
    #[must_use]
    pub fn queue(self, queue: usize) -> Self {
        let pacer = Pacer::new(self.pacer.limit().clone(), queue, self.pacer.longest_wait());
        Self { pacer, ..self }
    }

    /// How long a caller waits at most, whatever its own deadline. Say it before services are made.
    #[must_use]
    pub fn longest_wait(self, longest: Duration) -> Self {
        let pacer = Pacer::new(self.pacer.limit().clone(), self.pacer.queue(), longest);
        Self { pacer, ..self }
    }

    /// Tells operations, scopes and deadlines apart, and what answers say, by `classify`.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> PaceLayer<D> {
        PaceLayer { pacer: self.pacer, classify }
    }

    /// Reads the lines, and reads and steers the limit.
    pub fn handle(&self) -> &Pacer {
        &self.pacer
    }
}

impl<S, C: Clone> Layer<S> for PaceLayer<C> {
    type Service = Paced<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Paced { inner, pacer: self.pacer.clone(), classify: self.classify.clone() }
    }
}

/// A service whose callers wait for a rate limit: made by a [`PaceLayer`].
///
/// Always ready: the line is in the futures, and bounded. The service below is made ready only for a
/// call whose turn has come, for which it has to be [`Clone`].
#[derive(Clone, Debug)]
pub struct Paced<S, C = ByResult> {
    inner: S,
    pacer: Pacer,
    classify: C,
}

impl<S, C, Req> Service<Req> for Paced<S, C>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = PaceFuture<S, Req, C::Classifier>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let judge = self.classify.classify(&request);
        let now = TokioClock.begin();
        match self.pacer.enter(judge.info(), now) {
            Some(Ok(token)) => {
                let mut guard = Guard::new(self.pacer.clone(), TokioClock, judge, token);
                let inner = &mut self.inner;
                let call = TokioClock.hand_down(now, || WhenReady::start(inner, request));
                if call.is_sent() {
                    guard.sent(now);
                }
                PaceFuture::admitted(guard, call)
            }
            Some(Err(rejection)) => PaceFuture::rejected(rejection),
            None => {
                let call = (self.inner.clone(), request, judge);
                PaceFuture::waiting(self.pacer.clone(), now, call)
            }
        }
    }
}
