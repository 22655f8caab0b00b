use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Classify, ClassifyResponse, Clock, Gate, Guard, HasInfo, Take, Verdict, Watching,
    verdict_of_error,
};

/// A layer that puts a gate before a service: see [`Gated`].
#[derive(Clone, Debug)]
pub struct GatedLayer<G, C, K> {
    gate: G,
    classify: C,
    clock: K,
}

impl<G, C, K> GatedLayer<G, C, K> {
    /// Every service made by this layer shares `gate`.
    pub fn new(gate: G, classify: C, clock: K) -> Self {
        Self { gate, classify, clock }
    }

    /// The gate.
    pub fn gate(&self) -> &G {
        &self.gate
    }
}

impl<S, G: Clone, C: Clone, K: Clone> Layer<S> for GatedLayer<G, C, K> {
    type Service = Gated<S, G, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.gate.clone(), self.classify.clone(), self.clock.clone())
    }
}

/// The one shell over a gate: decides in `call`, waits for nothing.
///
/// A gate that rejects whatever the request is, rejects although the service below is pending: the
/// shell is then ready without having touched it. Callers that wait for readiness below are woken
/// when the gate closes. An attempt that was sent is left alone. A "not before" of the gate is a
/// rejection here: waiting is the waiting room's business.
///
/// `poll_ready` fails only if the service below does; no `Clone` is asked of it.
#[derive(Debug)]
pub struct Gated<S, G, C, K> {
    inner: S,
    gate: G,
    classify: C,
    clock: K,
    /// Set when the last `poll_ready` was answered by the gate alone: `inner` may not be called.
    rejecting: Option<BoxError>,
    /// Wakes the caller that waits for `inner` when the gate changes.
    watching: Watching,
}

impl<S, G, C, K> Gated<S, G, C, K> {
    /// Puts `gate` before `inner`.
    pub fn new(inner: S, gate: G, classify: C, clock: K) -> Self {
        Self { inner, gate, classify, clock, rejecting: None, watching: Watching::default() }
    }

    /// The gate.
    pub fn gate(&self) -> &G {
        &self.gate
    }

    /// The service behind the gate.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, G: Clone, C: Clone, K: Clone> Clone for Gated<S, G, C, K> {
    /// Readiness is not cloned: the clone has to be polled itself.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.gate.clone(), self.classify.clone(), self.clock.clone())
    }
}

impl<S, G, C, K, Req> Service<Req> for Gated<S, G, C, K>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    G: Gate + Clone,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    K: Clock + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C::Classifier, G, K>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(rejection) = self.gate.peek(&self.clock) {
            self.rejecting = Some(rejection.into());
            return Poll::Ready(Ok(()));
        }
        self.rejecting = None;
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => {
                let error = error.into();
                let verdict = verdict_of_error(&*error).unwrap_or(Verdict::unknown());
                self.gate.unready(&verdict, self.clock.now());
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                self.watching.register(cx.waker(), |watcher| self.gate.watch(watcher));
                // The gate may have closed before it was being watched.
                self.rejecting = self.gate.peek(&self.clock).map(Into::into);
                match self.rejecting {
                    Some(_) => Poll::Ready(Ok(())),
                    None => Poll::Pending,
                }
            }
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        if let Some(rejection) = self.rejecting.take() {
            return ResponseFuture::rejected(rejection);
        }
        let judge = self.classify.classify(&request);
        let now = self.clock.begin();
        let token = match self.gate.take(judge.info(), now) {
            Take::Open(token) => token,
            Take::NotBefore(_, rejection) | Take::Reject(rejection) => {
                // `inner` was made ready and is not called: it stays ready for the next call.
                return ResponseFuture::rejected(rejection.into());
            }
        };
        let mut guard = Guard::new(self.gate.clone(), self.clock.clone(), judge, token);
        guard.sent(now);
        let inner = &mut self.inner;
        let future = self.clock.hand_down(now, || inner.call(request));
        ResponseFuture::sent(future, guard)
    }
}

pin_project! {
    /// The answer, or the gate's rejection.
    ///
    /// Dropped before the answer, it tells the gate that the attempt was cancelled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, J: HasInfo, G: Gate, K: Clock> {
        // Flat: a state of several parts is put together first, and then copied to its place.
        #[pin]
        sent: Option<F>,
        guard: Option<Guard<G, K, J>>,
        rejection: Option<BoxError>,
    }
}

impl<F, J: HasInfo, G: Gate, K: Clock> ResponseFuture<F, J, G, K> {
    #[inline]
    fn sent(future: F, guard: Guard<G, K, J>) -> Self {
        Self { sent: Some(future), guard: Some(guard), rejection: None }
    }

    #[inline]
    fn rejected(rejection: BoxError) -> Self {
        Self { sent: None, guard: None, rejection: Some(rejection) }
    }
}

impl<F, J, G, K, Res, E> Future for ResponseFuture<F, J, G, K>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    J: ClassifyResponse<Res>,
    G: Gate + Clone,
    K: Clock + Clone + Send + 'static,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (Some(future), Some(guard)) = (this.sent.as_pin_mut(), this.guard) else {
            return this
                .rejection
                .take()
                .map_or(Poll::Pending, |rejection| Poll::Ready(Err(rejection)));
        };
        let result = ready!(future.poll(cx)).map_err(Into::into);
        guard.judged(result.as_ref());
        Poll::Ready(result)
    }
}
