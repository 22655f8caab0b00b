use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use sandtower_core::Tick;

use super::tracker::{Reaping, SandboxTracker};
use crate::{Marks, SandboxId};

/// What was made for a client that has not taken it yet: an extension of the answer. Dropped
/// unclaimed, with its answer, it is released, whoever dropped it.
#[derive(Clone)]
pub(crate) struct Claim(Arc<Unclaimed>);

struct Unclaimed {
    what: Mutex<Option<What>>,
    creations: SandboxTracker,
    by: Reaping,
}

enum What {
    Sandbox(SandboxId),
    /// Made by this attempt, sent at this time; its id is in a body that nobody has read.
    Of(Marks, Tick),
}

impl Claim {
    pub(super) fn sandbox(sandbox: SandboxId, creations: SandboxTracker, by: Reaping) -> Self {
        Self::new(What::Sandbox(sandbox), creations, by)
    }

    pub(super) fn of(attempt: Marks, sent: Tick, creations: SandboxTracker, by: Reaping) -> Self {
        Self::new(What::Of(attempt, sent), creations, by)
    }

    fn new(what: What, creations: SandboxTracker, by: Reaping) -> Self {
        Self(Arc::new(Unclaimed { what: Mutex::new(Some(what)), creations, by }))
    }

    /// From here on what the answer is about is its caller's.
    pub(crate) fn take(answer: &Extensions) {
        if let Some(Self(unclaimed)) = answer.get() {
            unclaimed.what.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl Drop for Unclaimed {
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
