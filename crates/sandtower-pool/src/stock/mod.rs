//! Where the stock of a pool is recorded, so that the next process of its owner knows of it.

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::BTreeMap;

use sandtower_core::BoxError;
use sandtower_e2b::{CallId, SandboxId};

use crate::items::Key;
use crate::wall::Wall;

pub use memory::MemoryStock;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteError, SqliteStock};

/// Where each step of a pool's stock is recorded, so that the next process of the same owner counts what this one
/// leaves behind, and kills it.
///
/// A pool decides in memory. A creation is recorded before it is sent, and a sandbox as
/// [taken](Step::Taken) before its response leaves the pool; everything else is recorded soon after it happened.
/// While steps cannot be recorded, nothing is created for the stock, and nothing is served from it.
///
/// | the last step of a sandbox | what is known | after a crash |
/// |---|---|---|
/// | [`Ordered`](Step::Ordered) | it may exist, or appear | counts until it is found and killed, or can no longer appear |
/// | [`Idle`](Step::Idle) | no caller has it | killed, or kept where that is configured |
/// | [`Leased`](Step::Leased) | it is connected to and checked, and no caller has it | killed |
/// | [`Taken`](Step::Taken) | its caller may have it | never touched |
/// | [`Ending`](Step::Ending) | it is being killed, since it is dead, or its caller left without it | killed |
///
/// The steps of one sandbox, or of one creation, arrive in order, and each one replaces the step before it: a store
/// keeps the last one, and forgets what is completed, taken or ended. A step may arrive twice. Times are wall time, since ticks mean nothing to another process.
///
/// [`MemoryStock`] is the model; `SqliteStock` keeps a file. A store of several machines keeps one record for each
/// creation and sandbox in the same way, under a name for the pool, and has one process at a time read it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not record the stock of a pool",
    label = "not a `Stock`",
    note = "`MemoryStock` does, and `SqliteStock` with the feature `sqlite`"
)]
pub trait Stock: std::fmt::Debug + Send + Sync {
    /// The last step of everything that is not completed, taken or ended; `None`: no pool was recorded before. Called
    /// before anything else, until it succeeds. From then on no other process may record this pool.
    ///
    /// It may block.
    ///
    /// # Errors
    ///
    /// It cannot be read, or another process has it. It is tried again.
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError>;

    /// Records `steps`, all or none. What is recorded outlives a process that is killed. It may block; it is
    /// called by one thread at a time.
    ///
    /// # Errors
    ///
    /// Nothing was recorded. They come again, unless later ones have replaced them.
    fn record(&self, steps: &[Step]) -> Result<(), BoxError>;

    /// The pool is shut down, and records nothing more: another process may have it. It may block.
    fn close(&self);
}

/// What happened to a creation for the stock, or to a sandbox in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A creation is about to be sent; its sandbox has the call in its metadata.
    Ordered {
        /// The call.
        call: CallId,
        /// After that its sandbox no longer appears.
        until: Wall,
    },
    /// What the creation left is known.
    Completed {
        /// The call.
        call: CallId,
    },
    /// It is in stock.
    Idle {
        /// The sandbox.
        id: SandboxId,
        /// Its life.
        life: Life,
    },
    /// It is leased to one hand-out, to connect to it and to check it.
    Leased {
        /// The sandbox.
        id: SandboxId,
        /// Its life.
        life: Life,
        /// The number of the hand-out, in this process.
        owner: u64,
        /// When the lease expires: from then on it is being killed.
        until: Wall,
    },
    /// Its response is about to leave the pool: it is no longer stock.
    Taken {
        /// The sandbox.
        id: SandboxId,
    },
    /// It is being killed.
    Ending {
        /// The sandbox.
        id: SandboxId,
        /// Its life.
        life: Life,
    },
    /// It has ended.
    Ended {
        /// The sandbox.
        id: SandboxId,
    },
}

/// When a sandbox lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was asked for.
    pub created: Wall,
    /// When it ends by itself, at the latest.
    pub ends_by: Wall,
}

impl Step {
    /// Whether a store forgets the creation or the sandbox after this step.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Taken { .. } | Self::Ended { .. })
    }

    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Ordered { call, .. } | Self::Completed { call } => Key::Creation(*call),
            Self::Idle { id, .. }
            | Self::Leased { id, .. }
            | Self::Taken { id }
            | Self::Ending { id, .. }
            | Self::Ended { id } => Key::Sandbox(id.clone()),
        }
    }
}

/// The last step of each creation and sandbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows(BTreeMap<Key, Step>);

impl Rows {
    pub(crate) fn apply(&mut self, step: &Step) {
        match step.is_last() {
            true => drop(self.0.remove(&step.key())),
            false => drop(self.0.insert(step.key(), step.clone())),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Step> {
        self.0.values()
    }
}
