//! The caller that gets a sandbox from stock, where a layer above has to know it first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sandtower_e2b::SandboxId;

/// Whether the note is taken: of [`Receive::assigned`].
pub type Assigned<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Takes note of which caller gets which sandbox from stock: for a layer above that keeps accounts of its
/// callers, and has to know of a sandbox before the caller does, even if the process is killed in between.
///
/// Each [`assigned`](Self::assigned) is followed by [`withdrawn`](Self::withdrawn) or
/// [`delivered`](Self::delivered) with the same sandbox, unless the process ends.
pub trait Receive: Send + Sync {
    /// `sandbox` is about to be given to the caller, and no one has touched it yet. `false`: it must not be.
    fn assigned<'a>(&'a self, sandbox: &'a SandboxId) -> Assigned<'a>;

    /// It was not given to the caller after all, and never will be.
    fn withdrawn(&self, sandbox: &SandboxId);

    /// The response names it. It lives for `lives`; if the response does not reach the caller, it is killed.
    fn delivered(&self, sandbox: &SandboxId, lives: Duration);
}

/// An extension of a request for a new sandbox, whose sender marks what it creates in the metadata, to find its
/// own by it. Since metadata cannot be changed, no sandbox in stock has the mark. With this extension the
/// request is served from stock as if it did not ask for the mark, and `to` learns which sandbox it is. A
/// request that is not served from stock is passed on with the mark.
#[derive(Clone)]
pub struct Recipient {
    pub(crate) mark: &'static str,
    pub(crate) to: Arc<dyn Receive>,
}

impl Recipient {
    /// A sender that marks its sandboxes under the metadata key `mark`.
    pub fn new(mark: &'static str, to: Arc<dyn Receive>) -> Self {
        Self { mark, to }
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipient").field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// A sandbox that was assigned: withdrawn when this is dropped, unless it was delivered.
pub(crate) struct Assignment {
    id: SandboxId,
    to: Option<Arc<dyn Receive>>,
}

impl Assignment {
    /// `None`: it must not be given to the caller.
    pub(crate) async fn of(id: &SandboxId, recipient: Option<&Recipient>) -> Option<Self> {
        let to = recipient.map(|recipient| Arc::clone(&recipient.to));
        // Withdrawn also if the note is not finished.
        let assignment = Self { id: id.clone(), to };
        let is_taken = match &assignment.to {
            Some(to) => to.assigned(&assignment.id).await,
            None => true,
        };
        is_taken.then_some(assignment)
    }

    pub(crate) fn delivered(mut self, lives: Duration) {
        if let Some(to) = self.to.take() {
            to.delivered(&self.id, lives);
        }
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.withdrawn(&self.id);
        }
    }
}
