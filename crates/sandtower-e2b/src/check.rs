use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Effect, RequestInfo, Verdict};
use sandtower_health_check::Check;
use tower_service::Service;

use crate::{
    Client, Command, Config, Creations, Sandbox,
    creation::{Reaping, Spare},
    operation as op,
};

/// Checks new sandboxes by running a command in them, and kills those that fail.
///
/// For a [`HealthCheckLayer`](sandtower_health_check::HealthCheckLayer) above an
/// [`InterpretLayer`](sandtower_http::InterpretLayer) with [`E2bInterpret`](crate::E2bInterpret),
/// which finds the sandbox in the answer. The [probe](Probe) is an operation of its own,
/// [`PROCESS_START`](crate::operation::PROCESS_START) or
/// [`ENVD_HEALTH`](crate::operation::ENVD_HEALTH). What is to be killed is handed to
/// [`Creations`], which try until it has ended.
#[derive(Clone, Debug)]
pub struct SandboxCheck {
    config: Arc<Config>,
    creations: Creations,
    by: Probe,
}

/// How a new sandbox is found to be alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// It runs `echo 'health_check'` and has to print that. It finds zombies whose daemon answers but
    /// that can do nothing, and costs a process in the sandbox: a quarter of a second.
    #[default]
    Command,
    /// Its daemon answers `GET /health`: one round trip, which says no more than that.
    Health,
}

/// The words that the probe prints, as the application did for which this was first made.
const PROBE: &str = "echo 'health_check'";
const SAYS: &str = "health_check";

impl SandboxCheck {
    /// Talks to sandboxes, and kills them, as `config` says.
    pub fn new(config: Config) -> Self {
        let creations = Creations::new(&config);
        Self { config: Arc::new(config), creations, by: Probe::default() }
    }

    /// Hands what is to be killed to `creations`, so that one account tells of all.
    #[must_use]
    pub fn creations(self, creations: Creations) -> Self {
        Self { creations, ..self }
    }

    /// Finds out by this whether a sandbox is alive: by a [command](Probe::Command) unless told.
    #[must_use]
    pub fn probe_by(self, by: Probe) -> Self {
        Self { by, ..self }
    }
}

/// Whether a sandbox does what it is told.
pub(crate) async fn probe<S, B>(client: &Client<S>, sandbox: &Sandbox) -> Verdict
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match client.run(sandbox, &Command::new(PROBE)).await {
        Ok(output) if output.stdout_text().trim() == SAYS => Verdict::success(),
        Ok(_) => Verdict::permanent(),
        Err(error) => error.verdict(),
    }
}

/// Whether its daemon says that it is well.
async fn look<S, B>(client: &Client<S>, sandbox: &Sandbox) -> Verdict
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match client.envd_health(sandbox).await {
        Ok(true) => Verdict::success(),
        // The way to a new sandbox can be a moment late: worth another try.
        Ok(false) => Verdict::transient(Effect::None),
        Err(error) => error.verdict(),
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

    fn probe(&self, inner: S, answer: &Response<B>) -> Option<Self::Probe> {
        let sandbox = answer.extensions().get::<Sandbox>()?.clone();
        let client = Client::shared(inner, Arc::clone(&self.config));
        Some(match self.by {
            Probe::Command => Box::pin(async move { probe(&client, &sandbox).await }),
            Probe::Health => Box::pin(async move { look(&client, &sandbox).await }),
        })
    }

    fn discard(&self, inner: S, answer: Response<B>) -> Self::Discard {
        let creations = self.creations.clone();
        let sandbox = answer.extensions().get::<Sandbox>().map(|sandbox| sandbox.id().clone());
        if let Some(sandbox) = &sandbox {
            let spare = Arc::new(Spare::new(inner, Arc::clone(&self.config)));
            creations.release(sandbox.clone(), &Reaping::here(spare));
        }
        Box::pin(async move {
            if let Some(sandbox) = sandbox {
                creations.released(&sandbox).await;
            }
        })
    }
}
