use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{
    Error, Sandbox, SandboxId, SandboxTracker,
    tracking::{CleanUp, Requests},
};

use super::Client;

/// A sandbox that is killed on drop: see [`Client::kill_on_drop`].
///
/// Dropping it does not block. The client's [tracker](Client::tracker) kills the sandbox in the
/// background: it retries for up to 15 minutes, counts the outcome, and logs a `WARN` event with the
/// target `sandtower::e2b` if it fails. Until then the tracker can be
/// [drained](SandboxTracker::drain_within), as a stack's `drain` does. A program that ends without a drain
/// should call [`close`](Self::close) instead.
#[must_use = "dropped at once, it is killed at once"]
pub struct KillOnDrop {
    sandbox: Sandbox,
    kill: Kill,
    tracker: SandboxTracker,
    by: CleanUp,
    /// Whether the sandbox is still to be killed.
    held: bool,
}

/// Boxed, so that this type needs no type parameter for the service.
type Kill = Box<dyn Fn(SandboxId) -> Killing + Send + Sync>;
type Killing = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send>>;

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    /// Kills `sandbox` when the returned holder goes out of scope, also by `return`, `?` or a panic. A
    /// plain [`Sandbox`] does nothing on drop.
    ///
    /// The kill runs on the current tokio runtime; if there is none, on the one that the holder is
    /// dropped in.
    ///
    /// ```no_run
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use sandtower_core::BoxError;
    /// # use sandtower_e2b::{Client, Command, Error, NewSandbox};
    /// # async fn example<S>(client: Client<S>) -> Result<(), Error>
    /// # where
    /// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError>,
    /// #     S: Clone + Send + Sync + 'static,
    /// #     S::Future: Send,
    /// # {
    /// let sandbox = client.kill_on_drop(client.create(&NewSandbox::new("base")).await?);
    /// client.run(&sandbox, &Command::new("make")).await?;
    /// sandbox.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill_on_drop(&self, sandbox: Sandbox) -> KillOnDrop {
        let client = self.clone();
        let kill: Kill = Box::new(move |id| {
            let client = client.clone();
            Box::pin(async move { client.kill(&id).await })
        });
        let spare = Requests::new(self.service.clone(), Arc::clone(&self.config));
        let by = CleanUp::here(Arc::new(spare));
        KillOnDrop { sandbox, kill, tracker: self.account(), by, held: true }
    }
}

impl KillOnDrop {
    /// Returns the sandbox and does not kill it.
    pub fn keep(mut self) -> Sandbox {
        self.held = false;
        self.sandbox.clone()
    }

    /// Kills the sandbox now and returns the outcome. `false`: it was gone already.
    ///
    /// Dropping the future kills the sandbox in the background.
    ///
    /// # Errors
    ///
    /// The sandbox may still be running: the kill is retried in the background.
    pub async fn close(mut self) -> Result<bool, Error> {
        let killed = (self.kill)(self.sandbox.id().clone()).await?;
        self.held = false;
        Ok(killed)
    }
}

impl Deref for KillOnDrop {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        self.tracker.release(self.sandbox.id().clone(), &self.by.or_here());
    }
}

impl std::fmt::Debug for KillOnDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KillOnDrop")
            .field("sandbox", &self.sandbox)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
