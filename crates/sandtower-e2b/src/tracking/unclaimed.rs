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
    /// Called once with whether it was claimed, with no lock held.
    then: Mutex<Option<Then>>,
    tracker: SandboxTracker,
    by: CleanUp,
}

type Then = Box<dyn FnOnce(bool) + Send>;

enum What {
    Sandbox(SandboxId),
    /// Created by this attempt, sent at this time; the id is in a body that was not read.
    Of(Marks, Tick),
}

impl Unclaimed {
    pub(super) fn sandbox(sandbox: SandboxId, tracker: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Sandbox(sandbox), tracker, by, None)
    }

    pub(super) fn sandbox_then(
        sandbox: SandboxId,
        tracker: SandboxTracker,
        by: CleanUp,
        then: Then,
    ) -> Self {
        Self::new(What::Sandbox(sandbox), tracker, by, Some(then))
    }

    pub(super) fn of(attempt: Marks, sent: Tick, tracker: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Of(attempt, sent), tracker, by, None)
    }

    fn new(what: What, tracker: SandboxTracker, by: CleanUp, then: Option<Then>) -> Self {
        let (what, then) = (Mutex::new(Some(what)), Mutex::new(then));
        Self(Arc::new(Orphan { what, then, tracker, by }))
    }

    /// From here on the sandbox is its caller's.
    pub fn claim(&self) {
        let claimed = self.0.what.lock().unwrap_or_else(PoisonError::into_inner).take();
        if claimed.is_some() {
            self.0.ends(true);
        }
    }

    /// From here on the sandbox of the response is its caller's.
    pub(crate) fn take(response: &Extensions) {
        if let Some(unclaimed) = response.get::<Self>() {
            unclaimed.claim();
        }
    }
}

impl Orphan {
    fn ends(&self, is_claimed: bool) {
        let then = self.then.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            then(is_claimed);
        }
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let what = self.what.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if what.is_some() {
            self.ends(false);
        }
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
