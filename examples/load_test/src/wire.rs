//! The wire: the innermost layer, which counts and bounds the requests that are really sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pin_project_lite::pin_project;
use sandtower::core::{BoxError, ClassifiedError, Operation, Verdict};
use sandtower::e2b::{operation as op, recognise};
use sandtower_load::{Part, Timeline};
use tower_service::Service;

/// Counts of a wire.
#[derive(Debug)]
pub(crate) struct Meter {
    requests: AtomicU64,
    creations: AtomicU64,
    in_flight: AtomicU64,
    /// Sandboxes that may be alive: each creation that was sent, until it is known that it failed or that its
    /// sandbox was killed.
    alive: AtomicU64,
    most_alive: u64,
    /// Creations that were held back.
    capped: AtomicU64,
}

impl Meter {
    /// Sends no creation while `most_alive` sandboxes may be alive.
    pub(crate) fn new(most_alive: u64) -> Arc<Self> {
        let [requests, creations, in_flight, alive, capped] = Default::default();
        Arc::new(Self { requests, creations, in_flight, alive, most_alive, capped })
    }

    /// Requests of any kind.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests for a sandbox.
    pub(crate) fn creations(&self) -> u64 {
        self.creations.load(Ordering::Relaxed)
    }

    /// Requests for a sandbox in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Sandboxes that may be alive, including those of creations with an unknown outcome.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    /// Creations that this load test held back, because too many sandboxes might have been alive.
    pub(crate) fn capped(&self) -> u64 {
        self.capped.load(Ordering::Relaxed)
    }

    fn reserve(&self) -> bool {
        let more = |alive| (alive < self.most_alive).then_some(alive + 1);
        let has_room = self.alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.capped.fetch_add(u64::from(!has_room), Ordering::Relaxed);
        has_room
    }

    fn release(&self) {
        let fewer = |alive: u64| Some(alive.saturating_sub(1));
        // It always returns a number.
        let _ = self.alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}

/// A service whose requests are counted, and recorded on the timelines of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Wire<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S> Wire<S> {
    pub(crate) fn new(inner: S, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<S, B> Service<Request<Full<Bytes>>> for Wire<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Exchange<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (operation, _) = recognise(&request);
        if operation == op::SANDBOX_CREATE && !self.meter.reserve() {
            return Exchange { exchange: None, sent: None, capped: self.meter.most_alive };
        }
        let sent = Sent::new(Arc::clone(&self.meter), operation);
        Exchange { exchange: Some(self.inner.call(request)), sent: Some(sent), capped: 0 }
    }
}

pin_project! {
    /// A request in flight, or one that was held back.
    pub(crate) struct Exchange<F> {
        #[pin]
        exchange: Option<F>,
        sent: Option<Sent>,
        capped: u64,
    }
}

impl<F, B, E> Future for Exchange<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(exchange) = this.exchange.as_pin_mut() else {
            let says = format!("the load test's own cap of {} sandboxes is reached", this.capped);
            return Poll::Ready(Err(ClassifiedError::new(Verdict::permanent(), says).into()));
        };
        let response = ready!(exchange.poll(cx));
        if let Some(sent) = this.sent.take() {
            sent.responded(response.as_ref().ok().map(Response::status));
        }
        Poll::Ready(response.map_err(Into::into))
    }
}

/// A request in flight. If dropped, it has no response.
struct Sent {
    meter: Arc<Meter>,
    operation: Operation,
    timeline: Option<Timeline>,
    after: Part,
}

impl Sent {
    fn new(meter: Arc<Meter>, operation: Operation) -> Self {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&meter.requests);
        let mut timeline = None;
        if operation == op::SANDBOX_CREATE {
            count(&meter.creations);
            count(&meter.in_flight);
            timeline = Timeline::current();
        }
        if let Some(timeline) = &timeline {
            timeline.spend(Part::Attempt);
        }
        Self { meter, operation, timeline, after: Part::Backoff }
    }

    fn responded(mut self, status: Option<StatusCode>) {
        let Some(status) = status else { return };
        let is_gone = status.is_success() || status == StatusCode::NOT_FOUND;
        if self.operation == op::SANDBOX_KILL && is_gone {
            self.meter.release();
        }
        if self.operation == op::SANDBOX_CREATE {
            // A failed creation may have created a sandbox.
            if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE {
                self.meter.release();
            }
            self.after = match status {
                status if status.is_success() => Part::Check,
                // Throttled: it waits in the queue until it is sent again.
                StatusCode::TOO_MANY_REQUESTS => Part::Queued,
                _ => Part::Backoff,
            };
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.operation == op::SANDBOX_CREATE {
            self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(timeline) = &self.timeline {
            timeline.spend(self.after);
        }
    }
}
