use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use sandtower_core::Tick;

use super::tracker::{CleanUp, SandboxTracker};
use crate::{Marks, SandboxId};

/// A sandbox without an owner so far: an extension of the response to its creation, written by
/// [`Tracking`](crate::Tracking). Once the response and all clones of this are dropped without a
/// [`claim`](Self::claim), the sandbox is an orphan and is killed.
///
/// The [client](crate::Client) claims the sandboxes that it returns. Whoever passes on the response to a
/// [`RawCreation`](crate::RawCreation) claims the sandbox when its caller has all of it:
///
/// ```
/// use http::Response;
/// use sandtower_e2b::Unclaimed;
///
/// fn handed_over<B>(response: &Response<B>) {
///     if let Some(unclaimed) = response.extensions().get::<Unclaimed>() {
///         unclaimed.claim();
///     }
/// }
/// # handed_over(&Response::new(()));
/// ```
#[derive(Clone)]
pub struct Unclaimed(Arc<Orphan>);

struct Orphan {
    what: Mutex<Option<What>>,
    tracker: SandboxTracker,
    by: CleanUp,
}

enum What {
    Sandbox(SandboxId),
    /// Created by this attempt, sent at this time; the id is in a body that was not read.
    Of(Marks, Tick),
}

impl Unclaimed {
    pub(super) fn sandbox(sandbox: SandboxId, tracker: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Sandbox(sandbox), tracker, by)
    }

    pub(super) fn of(attempt: Marks, sent: Tick, tracker: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Of(attempt, sent), tracker, by)
    }

    fn new(what: What, tracker: SandboxTracker, by: CleanUp) -> Self {
        Self(Arc::new(Orphan { what: Mutex::new(Some(what)), tracker, by }))
    }

    /// From here on the sandbox is its caller's.
    pub fn claim(&self) {
        self.0.what.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// From here on the sandbox of the response is its caller's.
    pub(crate) fn take(response: &Extensions) {
        if let Some(unclaimed) = response.get::<Self>() {
            unclaimed.claim();
        }
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let what = self.what.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match what {
            Some(What::Sandbox(sandbox)) => self.tracker.release(sandbox, &self.by),
            Some(What::Of(attempt, sent)) => {
                self.tracker.watch(attempt, sent, Tick::ZERO, &self.by);
            }
            None => {}
        }
    }
}

impl std::fmt::Debug for Unclaimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.0.what.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Unclaimed").field("is_claimed", &what.is_none()).finish_non_exhaustive()
    }
}
