use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Classify, ClassifyResponse, Deferred, Gate, Guard, HasInfo, No, Now, Rejection,
    Verdict, WakeOnChange, verdict_of_error,
};

/// A layer that puts a gate before a service: see [`Gated`].
#[derive(Clone, Debug)]
pub struct GatedLayer<G, C> {
    gate: G,
    classify: C,
}

impl<G, C> GatedLayer<G, C> {
    /// Every service made by this layer shares `gate`.
    pub fn new(gate: G, classify: C) -> Self {
        Self { gate, classify }
    }

    /// The gate.
    pub fn gate(&self) -> &G {
        &self.gate
    }
}

impl<S, G: Clone, C: Clone> Layer<S> for GatedLayer<G, C> {
    type Service = Gated<S, G, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.gate.clone(), self.classify.clone())
    }
}

/// The one shell over a gate: it decides in `call` and never waits.
///
/// While the gate rejects every request, the shell is ready without having touched the service
/// below, whatever that would say; the gate is asked again in `call`. Callers that wait for the
/// service below are woken when the gate closes. An attempt that was sent is left alone. Both a
/// [`No::Wait`] and a [`No::Closed`] are a rejection here: waiting is the business of admission
/// control.
///
/// `poll_ready` fails only if the service below does. A call that is rejected gives up the readiness
/// of the instance it would have used, for which the service has to be `Clone`: what that instance
/// had reserved is free for others.
#[derive(Debug)]
pub struct Gated<S, G, C> {
    inner: S,
    gate: G,
    classify: C,
    ready: Ready,
    /// Wakes the caller that waits for `inner` when the gate changes.
    wake: WakeOnChange,
}

/// What the last `poll_ready` found.
#[derive(Debug)]
enum Ready {
    /// `inner` is not known to be ready.
    No,
    /// `inner` is ready, and may have reserved something for it.
    Inner,
    /// The gate rejects everything: `inner` may not be called.
    Rejecting(Rejection),
}

impl<S, G, C> Gated<S, G, C> {
    /// Puts `gate` before `inner`.
    pub fn new(inner: S, gate: G, classify: C) -> Self {
        Self { inner, gate, classify, ready: Ready::No, wake: WakeOnChange::default() }
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

impl<S: Clone, G: Clone, C: Clone> Clone for Gated<S, G, C> {
    /// Readiness is not cloned: the clone has to be polled itself.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.gate.clone(), self.classify.clone())
    }
}

impl<S: Clone, G: Gate, C> Gated<S, G, C> {
    /// Whether the gate rejects everything; then readiness that was there is given up.
    fn poll_gate(&mut self) -> bool {
        let Some(no) = self.gate.check(None, &Now::new()) else { return false };
        if matches!(self.ready, Ready::Inner) {
            self.inner = self.inner.clone();
        }
        self.ready = Ready::Rejecting(no.into_rejection());
        true
    }

    fn not_ready(&self, error: &BoxError) {
        let verdict = verdict_of_error(&**error).unwrap_or(Verdict::unknown());
        self.gate.not_ready(&verdict, &Now::new(), &mut Deferred::new());
    }

    /// An instance to call although the gate rejected everything when readiness was asked for: the
    /// rejection has been lifted since.
    #[cold]
    fn other_instance<Req>(&self, before: Rejection) -> Result<S, BoxError>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
    {
        // One of its own, polled once: if it is not ready, nothing waits for it.
        let mut instance = self.inner.clone();
        match instance.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(instance),
            Poll::Pending => Err(before.into()),
            Poll::Ready(Err(error)) => {
                let error = error.into();
                self.not_ready(&error);
                Err(error)
            }
        }
    }
}

impl<S, G, C, Req> Service<Req> for Gated<S, G, C>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    G: Gate + Clone,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C::Classifier, G>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.poll_gate() {
            return Poll::Ready(Ok(()));
        }
        self.ready = Ready::No;
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                self.ready = Ready::Inner;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                let error = error.into();
                self.not_ready(&error);
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                self.wake.register(cx.waker(), |subscriber| self.gate.subscribe(subscriber));
                // The gate may have closed before it was subscribed to.
                if self.poll_gate() { Poll::Ready(Ok(())) } else { Poll::Pending }
            }
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        let (now, mut later) = (Now::new(), Deferred::new());
        let ready = std::mem::replace(&mut self.ready, Ready::No);
        // The gate is asked again although it rejected everything before: a rejection is counted
        // here, and may have been lifted.
        let permit = match self.gate.try_acquire(classifier.info(), &now, &mut later) {
            Ok(permit) => permit,
            Err(no) => {
                if !matches!(ready, Ready::Rejecting(_)) {
                    self.inner = self.inner.clone();
                }
                return ResponseFuture::rejected(no);
            }
        };
        drop(later);
        let mut guard = Guard::new(self.gate.clone(), classifier, permit);
        let future = match ready {
            Ready::Rejecting(before) => match self.other_instance::<Req>(before) {
                Ok(mut instance) => {
                    guard.sent(now.tick());
                    instance.call(request)
                }
                Err(error) => return ResponseFuture::failed(error),
            },
            Ready::Inner | Ready::No => {
                guard.sent(now.tick());
                self.inner.call(request)
            }
        };
        ResponseFuture::sent(future, guard)
    }
}

pin_project! {
    /// The response, or the gate's rejection.
    ///
    /// Dropped before the response, it records that the attempt was cancelled.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C: HasInfo, G: Gate> {
        // Flat: a state of several parts is put together first, and then copied to its place.
        #[pin]
        sent: Option<F>,
        guard: Option<Guard<G, C>>,
        error: Option<BoxError>,
    }
}

impl<F, C: HasInfo, G: Gate> ResponseFuture<F, C, G> {
    #[inline]
    fn sent(future: F, guard: Guard<G, C>) -> Self {
        Self { sent: Some(future), guard: Some(guard), error: None }
    }

    #[cold]
    fn rejected(no: No) -> Self {
        Self::failed(no.into_rejection().into())
    }

    #[cold]
    fn failed(error: BoxError) -> Self {
        Self { sent: None, guard: None, error: Some(error) }
    }
}

impl<F, C, G, Res, E> Future for ResponseFuture<F, C, G>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: ClassifyResponse<Res>,
    G: Gate + Clone,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (Some(future), Some(guard)) = (this.sent.as_pin_mut(), this.guard) else {
            match this.error.take() {
                Some(error) => return Poll::Ready(Err(error)),
                None => panic!("`ResponseFuture` polled after completion"),
            }
        };
        let result = ready!(future.poll(cx)).map_err(Into::into);
        guard.classify(result.as_ref());
        Poll::Ready(result)
    }
}
