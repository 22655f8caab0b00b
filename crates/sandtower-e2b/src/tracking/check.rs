use std::future::Future;
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
#[derive(Clone, Debug)]
pub struct SandboxCheck {
    config: Arc<Config>,
    tracker: SandboxTracker,
    by: Probe,
}

/// How a new sandbox is found to be alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Probe {
    /// It runs `echo 'health_check'` and has to print that. It finds zombies whose daemon responds but
    /// that can do nothing, and costs a process in the sandbox: a quarter of a second.
    #[default]
    Command,
    /// Its daemon responds to `GET /health`: one round trip, which says no more than that.
    Health,
}

impl SandboxCheck {
    /// Talks to sandboxes, and kills them, as `config` says.
    pub fn new(config: Config) -> Self {
        let tracker = SandboxTracker::new(&config);
        Self { config: Arc::new(config), tracker, by: Probe::default() }
    }

    /// Hands what is to be killed to `tracker`, so that one tracker has them all.
    #[must_use]
    pub fn tracker(self, tracker: SandboxTracker) -> Self {
        Self { tracker, ..self }
    }

    /// Finds out by this whether a sandbox is alive: by a [command](Probe::Command) unless told.
    #[must_use]
    pub fn probe_by(self, by: Probe) -> Self {
        Self { by, ..self }
    }
}

impl<S, B> Check<S, Response<B>> for SandboxCheck
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    // Boxed: a sandbox takes seconds to be made, and the future of an `async` method has no name.
    type Probe = Pin<Box<dyn Future<Output = Verdict> + Send>>;
    type Discard = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn checks(&self, info: &RequestInfo) -> bool {
        info.operation == op::SANDBOX_CREATE
    }

    fn probe(&self, inner: S, response: &Response<B>) -> Option<Self::Probe> {
        let sandbox = response.extensions().get::<Sandbox>()?.clone();
        let requests = Requests::new(inner, Arc::clone(&self.config));
        Some(match self.by {
            Probe::Command => Box::pin(async move { requests.probe(&sandbox).await }),
            Probe::Health => Box::pin(async move { requests.health(&sandbox).await }),
        })
    }

    fn discard(&self, inner: S, response: &Response<B>) -> Self::Discard {
        let tracker = self.tracker.clone();
        let sandbox = response.extensions().get::<Sandbox>().map(|sandbox| sandbox.id().clone());
        if let Some(sandbox) = &sandbox {
            let spare = Arc::new(Requests::new(inner, Arc::clone(&self.config)));
            tracker.release(sandbox.clone(), &CleanUp::here(spare));
        }
        Box::pin(async move {
            if let Some(sandbox) = sandbox {
                tracker.released(&sandbox).await;
            }
        })
    }
}
