use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::future::{Attempt, TrackingFuture};
use super::requests::{Below, Requests};
use super::tracker::{CleanUp, SandboxTracker};
use crate::api::sent::Sent;
use crate::{Creation, Marks};

/// Tracks every attempt to create a sandbox, so that none leaves an orphan behind: see [`Tracking`].
#[derive(Clone, Debug)]
pub struct TrackingLayer {
    tracker: SandboxTracker,
}

impl TrackingLayer {
    /// Has `tracker` clean up.
    pub fn new(tracker: SandboxTracker) -> Self {
        Self { tracker }
    }

    /// The tracker: reads and drains the cleanup.
    pub fn tracker(&self) -> &SandboxTracker {
        &self.tracker
    }
}

impl<S: Clone> Layer<S> for TrackingLayer {
    type Service = Tracking<S>;

    fn layer(&self, inner: S) -> Tracking<S> {
        let spare = Arc::new(inner.clone());
        Tracking { inner, spare, tracker: self.tracker.clone() }
    }
}

/// A service that numbers and tracks every attempt to create a sandbox: created by a [`TrackingLayer`].
///
/// It stands below retries and above all that makes attempts wait, and looks only at requests that carry a
/// [`Creation`]: those of [`Client::create`](crate::Client::create) and of a
/// [`RawCreation`](crate::RawCreation), with any type of body:
///
/// - each attempt gets its own number, so that a late sandbox of one attempt is not mistaken for that of
///   the next;
/// - an attempt that ends without a known result, or whose future is dropped after it was sent, goes to
///   the [`SandboxTracker`];
/// - the sandbox of a successful attempt is released unless the client claims it: a response that is
///   dropped on its way leaves nothing behind. A layer above that rebuilds responses without their
///   extensions drops it.
///
/// [`E2bInterpret`](crate::E2bInterpret) records whether and when an attempt was sent, so that layer has
/// to be below; without it a dropped attempt counts as not sent.
///
/// Ready when the service below is; it calls the instance that became ready.
#[derive(Debug)]
pub struct Tracking<S> {
    inner: S,
    spare: Arc<S>,
    tracker: SandboxTracker,
}

impl<S: Clone> Clone for Tracking<S> {
    fn clone(&self) -> Self {
        let spare = Arc::clone(&self.spare);
        Self { inner: self.inner.clone(), spare, tracker: self.tracker.clone() }
    }
}

impl<S, Q, B> Service<Request<Q>> for Tracking<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = TrackingFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let attempt = begin::<S, Q>(&mut request, &self.tracker, &self.spare);
        TrackingFuture::new(self.inner.call(request), attempt)
    }
}

/// `None`: this is no request of a client that creates a sandbox.
fn begin<S, Q>(
    request: &mut Request<Q>,
    tracker: &SandboxTracker,
    spare: &Arc<S>,
) -> Option<Attempt>
where
    S: Clone,
    Requests<S, Q>: Below + 'static,
    Q: From<Full<Bytes>>,
{
    let creation = request.extensions().get::<Creation>()?.clone();
    let number = creation.begin();
    if number > 1 {
        creation.write(request, number);
    }
    let sent = Sent::default();
    request.extensions_mut().insert(sent.clone());
    let marks = Marks { call: creation.call(), attempt: (!creation.is_keyed()).then_some(number) };
    let below = Requests::<S, Q>::new(S::clone(spare), Arc::clone(&tracker.shared.config));
    let by = CleanUp::here(Arc::new(below)).for_request(request);
    Some(Attempt::new(request, creation, number, marks, sent, tracker.clone(), by))
}

#[cfg(test)]
mod tests {
    use sandtower_core::Seed;
    use sandtower_testkit::{Contract, Exchange, Mock, Scenario};

    use super::*;
    use crate::{CallId, Config, NewSandbox, tracking::Unclaimed};

    type Req = Request<Full<Bytes>>;
    type Res = Response<Full<Bytes>>;

    const UNTAKEN: &str = "a task cleans up orphans, and keeps an instance";

    /// Over responses that are claimed as by the client.
    fn contract(
        request: impl Fn(u64) -> Req + 'static,
    ) -> Contract<Req, Res, Tracking<Mock<Req, Res>>> {
        let config = Config::new("e2b_key").unwrap();
        let response = |number: u64| {
            let mut response = Response::new(Full::default());
            response.extensions_mut().insert(number);
            response
        };
        Exchange::new(request, response).contract(
            move |inner| TrackingLayer::new(SandboxTracker::new(&config)).layer(inner),
            |response| {
                Unclaimed::take(response.extensions());
                *response.extensions().get().unwrap()
            },
        )
    }

    #[test]
    fn it_keeps_the_tower_contract_for_calls_that_create_nothing() {
        contract(|_| Request::get("/v2/sandboxes").body(Full::default()).unwrap()).run();
    }

    #[test]
    fn it_keeps_the_tower_contract_for_creations() {
        let config = Config::new("e2b_key").unwrap();
        contract(move |number| {
            let call = CallId::new(&Seed::fixed(number));
            let creation = Creation::new(&config, call, &NewSandbox::new("base")).unwrap();
            let mut request = Request::post("/v2/sandboxes").body(Full::default()).unwrap();
            request.extensions_mut().insert(creation);
            request
        })
        // In these, responses are dropped unread; `tests/it/tracking` drops calls at every poll.
        .skip(Scenario::CancelledCallsGiveBack, UNTAKEN)
        .skip(Scenario::UncalledServicesGiveBack, UNTAKEN)
        .skip(Scenario::DeadRuntimes, UNTAKEN)
        .run();
    }
}
