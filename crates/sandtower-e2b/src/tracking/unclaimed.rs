use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use sandtower_core::Tick;

use super::tracker::{CleanUp, SandboxTracker};
use crate::{Marks, SandboxId};

/// A sandbox that was created for a client that has not taken it yet: an extension of the response.
/// Dropped unclaimed, with its response, it is an orphan and is killed.
#[derive(Clone)]
pub(crate) struct Unclaimed(Arc<Orphan>);

struct Orphan {
    what: Mutex<Option<What>>,
    tracker: SandboxTracker,
    by: CleanUp,
}

enum What {
    Sandbox(SandboxId),
    /// Created by this attempt, sent at this time; its id is in a body that was not read.
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

    /// From here on the sandbox of the response is its caller's.
    pub(crate) fn take(response: &Extensions) {
        if let Some(Self(unclaimed)) = response.get() {
            unclaimed.what.lock().unwrap_or_else(PoisonError::into_inner).take();
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
