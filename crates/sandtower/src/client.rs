use std::ops::Deref;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use tower_layer::{Identity, Layer};
use tower_service::Service;

use crate::admission::Progress;
use crate::core::BoxError;
use crate::e2b::{self, Client};
use crate::stack::{Handles, Recommended, Snapshot, Stack, Templated, Undrained, Watched};

/// A typed client of E2B with a stack of layers around its transport, and the handles of all of them.
///
/// It is a [`Client`]: see there for what can be asked of E2B. Clones are one client.
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
/// # In tasks
///
/// Calls can be spawned as long as the transport's type does not carry a [`BoxError`] as an argument.
/// One with a name of its own does not, whatever its errors are: hyper's client,
/// [`HttpTransport`](crate::e2b::HttpTransport), a struct around reqwest's. A closure and a boxed
/// service do, unless they have an error type of their own:
///
/// ```
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use sandtower::{E2b, e2b::{Config, NewSandbox}, stack::Stack};
/// # async fn example(stack: &Stack) {
/// use tower::service_fn;
///
/// let http = service_fn(|_: Request<Full<Bytes>>| async {
///     Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default()))
/// });
/// let e2b = E2b::new(stack, http);
/// tokio::spawn(async move { e2b.create(&NewSandbox::new("base")).await });
/// # }
/// ```
///
/// With `BoxError` in its place the compiler says that an "implementation of `From` is not general
/// enough": to find out whether a task is `Send` it forgets that the error in such a type lives for
/// ever ([rust-lang/rust#130596](https://github.com/rust-lang/rust/issues/130596)).
///
/// ```compile_fail
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use sandtower::{E2b, e2b::{Config, NewSandbox}, stack::Stack};
/// # async fn example(stack: &Stack) {
/// # use tower::service_fn;
/// let http = service_fn(|_: Request<Full<Bytes>>| async {
///     Ok::<_, sandtower::core::BoxError>(Response::new(Full::<Bytes>::default()))
/// });
/// let e2b = E2b::new(stack, http);
/// tokio::spawn(async move { e2b.create(&NewSandbox::new("base")).await });
/// # }
/// ```
///
/// [`BoxError`]: crate::core::BoxError
pub struct E2b<S, F = Identity>
where
    F: Layer<Templated<S>>,
{
    client: Client<Recommended<S, F>>,
    config: e2b::Config,
    handles: Handles,
}

impl<S, B, F> E2b<S, F>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
    F: Layer<Templated<S>>,
{
    /// A client over `http`, with `stack` around it.
    ///
    /// If the stack has a [monitor](crate::stack::Builder::monitor) that does not probe yet, it begins.
    /// Outside of a tokio runtime it cannot, which a `WARN` event of the target
    /// `sandtower::health_check` says; the next client of the stack tries again.
    pub fn new(stack: &Stack<F>, http: S) -> Self {
        let (config, handles) = (stack.config().clone(), stack.handles().clone());
        if let Some(monitor) = handles.monitor.as_ref().filter(|monitor| !monitor.is_probing()) {
            let probe = stack.unguarded(http.clone()).health_probe();
            if let Err(error) = monitor.begin(probe) {
                tracing::warn!(target: "sandtower::health_check", %error, "nobody looks after E2B");
            }
        }
        Self { client: stack.client(http), config, handles }
    }
}

impl<S, F: Layer<Templated<S>>> E2b<S, F> {
    /// The handles of all layers, to read and to steer.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// All layers at one moment, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        self.handles.snapshot()
    }

    /// Closes for good: see [`Handles::drain`].
    ///
    /// # Errors
    ///
    /// Something that nobody holds is not ended yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self) -> Result<(), Undrained> {
        self.handles.drain().await
    }

    /// The same client, whose calls show in `progress` where they are: for one call at a time.
    ///
    /// ```no_run
    /// use sandtower::Message;
    /// use sandtower::admission::{Progress, CallState};
    /// use sandtower::e2b::{HttpTransport, NewSandbox};
    ///
    /// # async fn example(e2b: sandtower::E2b<HttpTransport>) -> Result<(), sandtower::core::BoxError> {
    /// let progress = Progress::new();
    /// let watched = e2b.watched(progress.clone());
    /// let create = tokio::spawn(async move { watched.create(&NewSandbox::new("base")).await });
    ///
    /// // Elsewhere, whenever the user looks:
    /// if let CallState::Queued(standing) = progress.look() {
    ///     println!("{}", Message::from(&standing));
    /// }
    /// let sandbox = create.await??;
    /// # Ok(())
    /// # }
    /// ```
    pub fn watched(&self, progress: Progress) -> Client<Watched<Recommended<S, F>>>
    where
        Recommended<S, F>: Clone,
    {
        let service = self.client.service().clone();
        let watched = Client::new(Watched::new(service, progress), self.config.clone());
        watched.creations(self.handles.creations.clone())
    }
}

impl<S, F: Layer<Templated<S>>> Deref for E2b<S, F> {
    type Target = Client<Recommended<S, F>>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl<S, F: Layer<Templated<S>>> Clone for E2b<S, F>
where
    Client<Recommended<S, F>>: Clone,
{
    fn clone(&self) -> Self {
        let (config, handles) = (self.config.clone(), self.handles.clone());
        Self { client: self.client.clone(), config, handles }
    }
}

impl<S, F: Layer<Templated<S>>> std::fmt::Debug for E2b<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("E2b").field("config", &self.config).finish_non_exhaustive()
    }
}
