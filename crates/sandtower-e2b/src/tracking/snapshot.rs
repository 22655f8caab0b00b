use serde::Serialize;

use crate::{CallId, Marks, SandboxId};

/// Counts of creations whose response was lost, and of orphaned sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrackerSnapshot {
    /// Attempts that may still turn out to have created a sandbox.
    pub open: u64,
    /// Sandboxes that are being killed.
    pub killing: u64,
    /// Attempts that were watched.
    pub watched: u64,
    /// Sandboxes that were found and returned to their caller.
    pub adopted: u64,
    /// Orphaned sandboxes that were killed.
    pub killed: u64,
    /// Sandboxes that ended by themselves before they were killed.
    pub gone: u64,
    /// Attempts whose result could not be determined, and sandboxes that could not be killed. The
    /// service ends such sandboxes at the end of their lifetime.
    pub abandoned: u64,
    /// The last 256 of these.
    pub last_abandoned: Vec<Abandoned>,
}

/// An unresolved attempt or sandbox: one of the two fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Abandoned {
    /// The call that may have created a sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The sandbox that could not be killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

impl Abandoned {
    pub(super) fn attempt(attempt: Marks) -> Self {
        Self { call: Some(attempt.call.to_string()), sandbox: None }
    }

    pub(super) fn sandbox(sandbox: &SandboxId) -> Self {
        Self { call: None, sandbox: Some(sandbox.to_string()) }
    }
}

/// Orphaned sandboxes were still being cleaned up at the end of the drain.
///
/// The service ends them at the end of their lifetime; [`Client::sweep`](crate::Client::sweep) of the
/// next process kills them sooner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct OrphansLeft {
    /// The calls whose attempts may still turn out to have created a sandbox.
    pub calls: Vec<CallId>,
    /// The sandboxes that could not be killed yet.
    pub sandboxes: Vec<SandboxId>,
}

impl OrphansLeft {
    /// The number of calls and sandboxes.
    pub fn left(&self) -> usize {
        self.calls.len() + self.sandboxes.len()
    }
}

/// The most entries that a message lists.
const NAMED: usize = 10;

impl std::fmt::Display for OrphansLeft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let left = self.left();
        write!(f, "{left} orphaned sandboxes are still being cleaned up")?;
        let sandboxes = self.sandboxes.iter().map(|sandbox| format!("sandbox {sandbox}"));
        let calls = self.calls.iter().map(|call| format!("of call {call}"));
        for (at, name) in sandboxes.chain(calls).take(NAMED).enumerate() {
            write!(f, "{}{name}", if at == 0 { ": " } else { ", " })?;
        }
        if left > NAMED { write!(f, ", and {} more", left - NAMED) } else { Ok(()) }
    }
}
