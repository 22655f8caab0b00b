use std::ops::Deref;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use crate::admission::Progress;
use crate::core::{BoxError, Patience, Priority, Tenant};
use crate::e2b::{self, Client};
use crate::stack::{Handles, Snapshot, Stack, StackService, Undrained};

/// A typed client of E2B with a stack of layers around its transport, and the handles of the layers.
///
/// It dereferences to [`Client`], which has the calls to E2B. Clones share everything.
///
/// ```no_run
/// use sandtower::e2b::NewSandbox;
///
/// # async fn example(key: &str) -> Result<(), sandtower::core::BoxError> {
/// let e2b = sandtower::e2b(key)?;
/// let sandbox = e2b.create(&NewSandbox::new("base")).await?;
/// e2b.kill(sandbox.id()).await?;
///
/// println!("{:?}", e2b.snapshot());
/// e2b.drain().await?;
/// # Ok(())
/// # }
/// ```
///
/// Calls can be spawned, over any transport.
#[derive(Clone)]
pub struct E2b {
    client: Client<StackService>,
    config: e2b::Config,
    handles: Handles,
}

impl E2b {
    /// A client over `http`, with `stack` around it.
    ///
    /// If the stack has a [monitor](crate::stack::Builder::monitor) that is not running yet, it starts.
    /// Outside a tokio runtime it cannot start: a `WARN` event of the target `sandtower::health_check` is
    /// logged, and the next client of the stack tries again.
    pub fn new<S, B>(stack: &Stack, http: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (config, handles) = (stack.config().clone(), stack.handles().clone());
        if let Some(monitor) = handles.monitor.as_ref().filter(|monitor| !monitor.is_probing()) {
            let probe = stack.unguarded(http.clone()).health_probe();
            if let Err(error) = monitor.begin(probe) {
                tracing::warn!(
                    target: "sandtower::health_check",
                    %error,
                    "health probes did not start"
                );
            }
        }
        Self { client: stack.client(http), config, handles }
    }

    /// The handles of all layers, to read and to control them.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// A snapshot of all layers, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        self.handles.snapshot()
    }

    /// Shuts down within 5 minutes: see [`Handles::drain_within`].
    ///
    /// # Errors
    ///
    /// Work was left after 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self) -> Result<(), Undrained> {
        self.handles.drain().await
    }

    /// The same client, whose calls report their waiting to `progress`: for one call at a time.
    ///
    /// ```no_run
    /// use sandtower::{E2b, Message};
    /// use sandtower::admission::{CallState, Progress};
    /// use sandtower::e2b::NewSandbox;
    ///
    /// # async fn example(e2b: E2b) -> Result<(), sandtower::core::BoxError> {
    /// let progress = Progress::new();
    /// let watched = e2b.watched(progress.clone());
    /// let create = tokio::spawn(async move { watched.create(&NewSandbox::new("base")).await });
    ///
    /// // Elsewhere, whenever the user looks:
    /// if let CallState::Queued(position) = progress.snapshot() {
    ///     println!("{}", Message::from(&position));
    /// }
    /// let sandbox = create.await??;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watched(&self, progress: Progress) -> Self {
        self.with(self.client.service().clone().watched(progress))
    }

    /// The same client, whose calls are sent on behalf of `tenant`: they count towards its limits, and
    /// have its share of the queue.
    ///
    /// ```no_run
    /// use sandtower::core::Priority;
    /// use sandtower::e2b::NewSandbox;
    ///
    /// # async fn example(e2b: sandtower::E2b) -> Result<(), sandtower::core::BoxError> {
    /// let acme = e2b.handles().tenants.seen("key-of-acme", "acme");
    /// let nightly = e2b.tenant(acme).priority(Priority::Batch);
    /// let sandbox = nightly.create(&NewSandbox::new("base")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tenant(&self, tenant: Tenant) -> Self {
        self.with(self.client.service().clone().tenant(tenant))
    }

    /// The same client, whose calls have this priority, or the highest that their tenant may have, if that
    /// is lower: interactive by default.
    #[must_use]
    pub fn priority(&self, priority: Priority) -> Self {
        self.with(self.client.service().clone().priority(priority))
    }

    /// The same client, whose calls are held while E2B is down, or rejected at once: by default that
    /// depends on their priority.
    #[must_use]
    pub fn patience(&self, patience: Patience) -> Self {
        self.with(self.client.service().clone().patience(patience))
    }

    fn with(&self, service: StackService) -> Self {
        let client = Client::new(service, self.config.clone());
        let client = client.tracker(self.handles.tracker.clone());
        Self { client, ..self.clone() }
    }
}

impl Deref for E2b {
    type Target = Client<StackService>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl std::fmt::Debug for E2b {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("E2b").field("config", &self.config).finish_non_exhaustive()
    }
}
