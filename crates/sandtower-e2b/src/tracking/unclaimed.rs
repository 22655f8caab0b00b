use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use sandtower_core::Tick;

use super::tracker::{CleanUp, SandboxTracker};
use crate::{Marks, SandboxId};

/// A sandbox that was created for a client that has not taken it yet: an extension of the response.
/// Dropped unclaimed, with its response, it is an orphan and is killed, whoever dropped it.
#[derive(Clone)]
pub(crate) struct Unclaimed(Arc<Orphan>);

struct Orphan {
    what: Mutex<Option<What>>,
    creations: SandboxTracker,
    by: CleanUp,
}

enum What {
    Sandbox(SandboxId),
    /// Created by this attempt, sent at this time; its id is in a body that was not read.
    Of(Marks, Tick),
}

impl Unclaimed {
    pub(super) fn sandbox(sandbox: SandboxId, creations: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Sandbox(sandbox), creations, by)
    }

    pub(super) fn of(attempt: Marks, sent: Tick, creations: SandboxTracker, by: CleanUp) -> Self {
        Self::new(What::Of(attempt, sent), creations, by)
    }

    fn new(what: What, creations: SandboxTracker, by: CleanUp) -> Self {
        Self(Arc::new(Orphan { what: Mutex::new(Some(what)), creations, by }))
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
            Some(What::Sandbox(sandbox)) => self.creations.release(sandbox, &self.by),
            Some(What::Of(attempt, sent)) => {
                self.creations.watch(attempt, sent, Tick::ZERO, &self.by);
            }
            None => {}
        }
    }
}
