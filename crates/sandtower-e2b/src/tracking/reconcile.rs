use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{Attempt, BoxError};
use sandtower_retry::{Found, Reconcile};
use tower_service::Service;

use super::requests::Requests;
use super::tracker::{CleanUp, SandboxTracker};
use super::unclaimed::Unclaimed;
use crate::transport::within::within;
use crate::{Creation, Error, Marks, Sandbox, SandboxId};

/// How often each step of a look is tried.
const TRIES: usize = 3;

/// Finds out what an attempt to create a sandbox did when its result is unknown: the hook of a
/// [`RetryLayer`](sandtower_retry::RetryLayer) above a [`TrackingLayer`](super::TrackingLayer)
/// with the same [`SandboxTracker`].
///
/// It lists the sandboxes of the call. One sandbox is adopted: it is connected to, which fetches its
/// access token again, and probed; if it is dead it is killed and does not count. If there are several,
/// the others are killed. If there is none the call may be tried again; the [`SandboxTracker`] kills a
/// sandbox that appears later. All of this takes at most [`look_within`](super::Timing::look_within);
/// after that the result stays unknown.
#[derive(Clone, Debug)]
pub struct E2bReconcile {
    tracker: SandboxTracker,
}

impl E2bReconcile {
    /// Uses the configuration of `tracker`.
    pub fn new(tracker: SandboxTracker) -> Self {
        Self { tracker }
    }
}

impl<S, Q, B> Reconcile<S, Request<Q>, Response<B>> for E2bReconcile
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Boxed: it sends several requests, and runs only after a failure.
    type Look = Pin<Box<dyn Future<Output = Found<Response<B>>> + Send>>;

    fn look(&self, inner: S, request: &Request<Q>, _: &Attempt) -> Option<Self::Look> {
        let creation = request.extensions().get::<Creation>()?.clone();
        if creation.is_keyed_by_caller() {
            // The service itself returns the sandbox again.
            return None;
        }
        let (tracker, config) = (self.tracker.clone(), &self.tracker.shared.config);
        let requests = Requests::<S, Q>::new(inner, Arc::clone(config))
            .on_behalf_of(request.extensions().get());
        let looks = Looks {
            by: CleanUp::here(Arc::new(requests.clone())),
            requests,
            tracker: tracker.clone(),
            creation,
        };
        Some(Box::pin(async move {
            within(Some(tracker.look_within()), looks.look()).await.unwrap_or(Found::Unknown)
        }))
    }
}

struct Looks<S, Q> {
    requests: Requests<S, Q>,
    tracker: SandboxTracker,
    by: CleanUp,
    creation: Creation,
}

impl<S, Q, B> Looks<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: From<Full<Bytes>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    async fn look(&self) -> Found<Response<B>> {
        let mut listed = None;
        for _ in 0..TRIES {
            listed = self.requests.list_call(self.creation.call()).await.ok();
            if listed.is_some() {
                break;
            }
        }
        let Some(listed) = listed else { return Found::Unknown };
        let mut adopted = None;
        for (sandbox, marks) in listed {
            if adopted.is_some() {
                self.tracker.release(sandbox, &self.by);
                continue;
            }
            adopted = match self.adopt(sandbox, marks).await {
                Ok(adopted) => adopted,
                Err(_) => return Found::Unknown,
            };
        }
        match adopted {
            Some(response) => {
                self.tracker.count_adopted();
                Found::Adopt(response)
            }
            // It may still appear, beside that of another attempt.
            None if self.creation.is_ahead() => Found::Unknown,
            None => Found::Nothing,
        }
    }

    /// `None`: it is being killed, or it is dead. After an error that is unknown, and it is killed.
    async fn adopt(&self, sandbox: SandboxId, marks: Marks) -> Result<Option<Response<B>>, Error> {
        if !self.tracker.adopt(marks, &sandbox) {
            return Ok(None);
        }
        // From here on it is killed unless it is returned.
        let claim = Unclaimed::sandbox(sandbox.clone(), self.tracker.clone(), self.by.clone());
        let mut response = match self.connect(&sandbox).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
                return Ok(None);
            }
            response => response?,
        };
        if let Some(sandbox) = response.extensions().get::<Sandbox>().cloned()
            && !self.is_alive(&sandbox).await
        {
            return Ok(None);
        }
        *response.status_mut() = StatusCode::CREATED;
        response.extensions_mut().insert(claim);
        Ok(Some(response))
    }

    async fn connect(&self, sandbox: &SandboxId) -> Result<Response<B>, Error> {
        // The service's default, as for `NewSandbox`.
        let lifetime = self.creation.lifetime().unwrap_or(300);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.requests.connect(sandbox, lifetime).await {
                Err(error) if tries < TRIES && error.verdict().is_failure() => {}
                response => return response,
            }
        }
    }

    async fn is_alive(&self, sandbox: &Sandbox) -> bool {
        for _ in 0..TRIES {
            let verdict = self.requests.probe(sandbox).await;
            if verdict.is_success() {
                return true;
            }
            if !verdict.is_failure() {
                return false;
            }
        }
        false
    }
}
