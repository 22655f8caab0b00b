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

/// A typed client of E2B over any HTTP service: a bare connection pool, or a stack of layers over
/// one.
///
/// Each call clones the service, makes the clone ready and sends one request (a creation may try two
/// paths); whether more are sent is up to the layers of the service. What those do not see, the client
/// does:
///
/// - every call ends within its [time](crate::Timeouts), waits and retries included, and the layers below
///   are told the deadline; a [command](crate::Command::timeout) or code brings its own;
/// - a body that stands still for as long as an attempt may take is given up, and so is a stream whose
///   envd has fallen silent;
/// - a call that is safe to repeat and whose body breaks off is made again, at most three times in all.
///
/// That needs a tokio runtime with its timer enabled.
///
/// Dropping the future of a call drops its request: what it asked for may still be done.
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
    /// The server is known to have only the older way to create a sandbox.
    older_creation: Arc<AtomicBool>,
    tracker: Option<SandboxTracker>,
}

impl<S> Client<S> {
    /// Talks to what `config` names, by way of `service`.
    pub fn new(service: S, config: Config) -> Self {
        Self { service, config: Arc::new(config), older_creation: Arc::default(), tracker: None }
    }

    /// Has `tracker` kill what [`kill_on_drop`](Self::kill_on_drop) leaves, so that one snapshot shows all
    /// of it and one drain waits for it. The client of a stack has its stack's; without this each holder
    /// has one of its own.
    #[must_use]
    pub fn tracker(self, tracker: SandboxTracker) -> Self {
        Self { tracker: Some(tracker), ..self }
    }

    /// What it talks to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn account(&self) -> SandboxTracker {
        self.tracker.clone().unwrap_or_else(|| SandboxTracker::new(&self.config))
    }

    /// The service that requests are sent by.
    pub fn service(&self) -> &S {
        &self.service
    }
}

/// Whether what the call was about is not there, by envd's own word: a 404 of anybody else says
/// something else.
fn is_not_found(error: &Error) -> bool {
    has_code(error, "not_found")
}

/// Whether it is there already, by envd's own word.
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
