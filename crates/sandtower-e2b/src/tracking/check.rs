use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, RequestInfo, Verdict};
use sandtower_health_check::Check;
use serde::{Deserialize, Serialize};
use tower_service::Service;

use super::{CleanUp, Requests};
use crate::{Config, Sandbox, SandboxTracker, operation as op};

/// Checks new sandboxes by running a command in them, and kills those that fail.
///
/// For a [`HealthCheckLayer`](sandtower_health_check::HealthCheckLayer) above an
/// [`InterpretLayer`](sandtower_http::InterpretLayer) with [`E2bInterpret`](crate::E2bInterpret),
/// which finds the sandbox in the response. The [probe](Probe) is an operation of its own,
/// [`PROCESS_START`](crate::operation::PROCESS_START) or
/// [`ENVD_HEALTH`](crate::operation::ENVD_HEALTH). What is to be killed is handed to
/// [`SandboxTracker`], which try until it has ended.
///
/// `Q` is the type of the bodies of requests to the service below.
pub struct SandboxCheck<Q = Full<Bytes>> {
    config: Arc<Config>,
    tracker: SandboxTracker,
    by: Probe,
    body: PhantomData<fn() -> Q>,
}

/// How a new sandbox is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Probe {
    /// Runs `echo 'health_check'` and checks the output. Finds zombies whose daemon responds but cannot
    /// run anything; costs a process in the sandbox, about 250 ms.
    #[default]
    Command,
    /// Sends `GET /health` to the daemon: one round trip, which checks the daemon alone.
    Health,
}

impl SandboxCheck {
    /// Probes and kills sandboxes as `config` says.
    pub fn new(config: Config) -> Self {
        let tracker = SandboxTracker::new(&config);
        Self { config: Arc::new(config), tracker, by: Probe::default(), body: PhantomData }
    }
}

impl<Q> SandboxCheck<Q> {
    /// The same check over a service whose requests have bodies of another type.
    #[must_use]
    pub fn with_body<R>(self) -> SandboxCheck<R> {
        let Self { config, tracker, by, .. } = self;
        SandboxCheck { config, tracker, by, body: PhantomData }
    }

    /// Has `tracker` kill the sandboxes that fail, so that one tracker has all of them.
    #[must_use]
    pub fn tracker(self, tracker: SandboxTracker) -> Self {
        Self { tracker, ..self }
    }

    /// Sets the probe. Default: a [command](Probe::Command).
    #[must_use]
    pub fn probe_by(self, by: Probe) -> Self {
        Self { by, ..self }
    }
}

impl<S, Q, B> Check<S, Response<B>> for SandboxCheck<Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    // Boxed: creating a sandbox takes seconds, and the future of an `async` method has no name.
    type Probe = Pin<Box<dyn Future<Output = Verdict> + Send>>;
    type Discard = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn checks(&self, info: &RequestInfo) -> bool {
        info.operation == op::SANDBOX_CREATE
    }

    fn probe(&self, inner: S, response: &Response<B>) -> Option<Self::Probe> {
        let sandbox = response.extensions().get::<Sandbox>()?.clone();
        let requests = Requests::<S, Q>::new(inner, Arc::clone(&self.config))
            .on_behalf_of(response.extensions().get());
        Some(match self.by {
            Probe::Command => Box::pin(async move { requests.probe(&sandbox).await }),
            Probe::Health => Box::pin(async move { requests.health(&sandbox).await }),
        })
    }

    fn discard(&self, inner: S, response: &Response<B>) -> Self::Discard {
        let tracker = self.tracker.clone();
        let sandbox = response.extensions().get::<Sandbox>().map(|sandbox| sandbox.id().clone());
        if let Some(sandbox) = &sandbox {
            let spare = Arc::new(Requests::<S, Q>::new(inner, Arc::clone(&self.config)));
            tracker.release(sandbox.clone(), &CleanUp::here(spare));
        }
        Box::pin(async move {
            if let Some(sandbox) = sandbox {
                tracker.released(&sandbox).await;
            }
        })
    }
}

impl<Q> Clone for SandboxCheck<Q> {
    fn clone(&self) -> Self {
        let (config, tracker) = (Arc::clone(&self.config), self.tracker.clone());
        Self { config, tracker, by: self.by, body: PhantomData }
    }
}

impl<Q> std::fmt::Debug for SandboxCheck<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxCheck")
            .field("config", &self.config)
            .field("tracker", &self.tracker)
            .field("by", &self.by)
            .finish()
    }
}
