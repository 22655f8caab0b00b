mod code;
mod commands;
mod create;
mod default_template;
mod exchange;
mod executing;
mod files;
mod health;
mod kill_on_drop;
mod lifecycle;
mod listing;
mod pages;
mod running;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::{Config, Error, SandboxTracker};

pub use default_template::{DefaultTemplate, TemplateNotFound};
pub use executing::Executing;
pub use kill_on_drop::KillOnDrop;
pub use pages::Pages;
pub use running::Running;

/// A typed client of E2B over any HTTP service: a plain transport, or a stack of layers over one.
///
/// Each call clones the service, makes the clone ready and sends one request (a creation may try two
/// paths); retries are up to the layers of the service. The client adds what those layers cannot see:
///
/// - every call ends within its [timeout](crate::Timeouts), waits and retries included, and the layers
///   below know the deadline; a [command](crate::Command::timeout) and code have timeouts of their own;
/// - a response body that stalls for as long as an attempt may take is an error, and so is a stream whose
///   envd has fallen silent;
/// - a call that is safe to repeat and whose body breaks off is sent again, at most three times in all.
///
/// It needs a tokio runtime with its timer enabled.
///
/// Dropping the future of a call drops its request, which may still take effect.
///
/// ```no_run
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use sandtower_core::BoxError;
/// use sandtower_e2b::{Client, Command, Config, NewSandbox};
///
/// # async fn example<S>(http: S) -> Result<(), BoxError>
/// # where
/// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError> + Clone,
/// # {
/// let client = Client::new(http, Config::from_env()?);
/// let sandbox = client.create(&NewSandbox::new("base")).await?;
/// let output = client.run(&sandbox, &Command::new("echo hi")).await?;
/// assert_eq!(output.stdout_text(), "hi\n");
/// client.kill(sandbox.id()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client<S> {
    service: S,
    config: Arc<Config>,
    /// Whether the server is known to have only the older creation call.
    older_creation: Arc<AtomicBool>,
    tracker: Option<SandboxTracker>,
}

impl<S> Client<S> {
    /// A client for the address in `config` over `service`.
    pub fn new(service: S, config: Config) -> Self {
        Self { service, config: Arc::new(config), older_creation: Arc::default(), tracker: None }
    }

    /// Has `tracker` kill the sandboxes of [`kill_on_drop`](Self::kill_on_drop), so that one snapshot
    /// shows them and one drain waits for them. The client of a stack uses the stack's tracker; by
    /// default each holder has one of its own.
    #[must_use]
    pub fn tracker(self, tracker: SandboxTracker) -> Self {
        Self { tracker: Some(tracker), ..self }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn account(&self) -> SandboxTracker {
        self.tracker.clone().unwrap_or_else(|| SandboxTracker::new(&self.config))
    }

    /// The service.
    pub fn service(&self) -> &S {
        &self.service
    }
}

/// Whether envd itself says that something does not exist: a 404 of anything in between has another
/// meaning.
fn is_not_found(error: &Error) -> bool {
    has_code(error, "not_found")
}

/// Whether envd itself says that something exists already.
fn is_already_there(error: &Error) -> bool {
    has_code(error, "already_exists")
}

fn has_code(error: &Error, code: &str) -> bool {
    error.status().is_some() && error.body().is_some_and(|body| body.code.as_deref() == Some(code))
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
