use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{Asked, Backoff, BoxError, Clock, Seed, Verdict};
use sandtower_health_check::Check;
use sandtower_time::{Sleep, TokioClock};
use tower_service::Service;

use crate::{Client, Command, Config, Sandbox, operation as op};

/// Checks new sandboxes by running a command in them, and kills those that fail.
///
/// For a [`HealthCheckLayer`](sandtower_health_check::HealthCheckLayer) above an
/// [`InterpretLayer`](sandtower_http::InterpretLayer) with [`E2bInterpret`](crate::E2bInterpret),
/// which finds the sandbox in the answer. The probe is an operation of its own,
/// [`PROCESS_START`](crate::operation::PROCESS_START).
#[derive(Clone, Debug)]
pub struct SandboxCheck {
    config: Arc<Config>,
}

/// The words that the probe prints, as the application did for which this was first made.
const PROBE: &str = "echo 'health_check'";
const SAYS: &str = "health_check";

/// How often a sandbox that nobody gets is tried to be killed. At the end of its lifetime E2B does
/// it.
const KILLS: usize = 6;

impl SandboxCheck {
    /// Talks to sandboxes, and kills them, as `config` says.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    fn client<S>(&self, inner: S) -> Client<S> {
        Client::new(inner, Config::clone(&self.config))
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

    fn checks(&self, asked: &Asked) -> bool {
        asked.operation == op::SANDBOX_CREATE
    }

    fn probe(&self, inner: S, answer: &Response<B>) -> Option<Self::Probe> {
        let sandbox = answer.extensions().get::<Sandbox>()?.clone();
        let client = self.client(inner);
        Some(Box::pin(async move {
            match client.run(&sandbox, &Command::new(PROBE)).await {
                Ok(output) if output.stdout_text().trim() == SAYS => Verdict::success(),
                Ok(_) => Verdict::permanent(),
                Err(error) => error.verdict(),
            }
        }))
    }

    fn discard(&self, inner: S, answer: Response<B>) -> Self::Discard {
        let sandbox = answer.extensions().get::<Sandbox>().cloned();
        let client = self.client(inner);
        Box::pin(async move {
            let Some(sandbox) = sandbox else { return };
            let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(16));
            for wait in backoff.full_jitter().delays(Seed::random().rng()).take(KILLS) {
                match client.kill(sandbox.id()).await {
                    Ok(_) => return,
                    Err(_) => Sleep::until(TokioClock.now() + wait).await,
                }
            }
            tracing::warn!(
                target: "sandtower::e2b",
                sandbox_id = %sandbox.id(),
                "a sandbox that nobody holds could not be killed"
            );
        })
    }
}
