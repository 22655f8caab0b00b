//! What users do with sandboxes before they are in stock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sandtower_core::BoxError;
use sandtower_e2b::{Client, Sandbox};

use crate::below::Below;
use crate::shape::Shape;

/// A client for the requests of a hook. They are sent through the layers below the pool, with the priority
/// `background`.
pub type HookClient = Client<Below>;

/// A sandbox that a hook is called for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hooked {
    /// Runs commands in it, and writes files.
    pub client: HookClient,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What it was created as.
    pub shape: Shape,
}

type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A hook: a function of a sandbox. If it fails, the sandbox is killed.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(Hooked) -> Running + Send + Sync>);

impl Hook {
    pub(crate) fn new<F, R>(hook: F) -> Self
    where
        F: Fn(Hooked) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |hooked| Box::pin(hook(hooked))))
    }

    pub(crate) async fn run(&self, hooked: Hooked) -> Result<(), BoxError> {
        (self.0)(hooked).await
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}
