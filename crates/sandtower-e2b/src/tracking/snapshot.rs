use serde::Serialize;

use crate::{CallId, Marks, SandboxId};

/// What became of creations whose response was lost, and of orphaned sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrackerSnapshot {
    /// Attempts that may still turn out to have made a sandbox.
    pub open: u64,
    /// Sandboxes that are being killed.
    pub killing: u64,
    /// Attempts that were ever watched.
    pub watched: u64,
    /// Sandboxes that were found and handed to their caller.
    pub adopted: u64,
    /// Orphaned sandboxes that were killed.
    pub killed: u64,
    /// Sandboxes that had ended by themselves when they were to be killed.
    pub gone: u64,
    /// Attempts that could not be looked for until their end, and sandboxes that could not be
    /// killed. The service ends these when their lifetime is over.
    pub abandoned: u64,
    /// The last 256 of them.
    pub last_abandoned: Vec<Abandoned>,
}

/// What could not be settled: one of both is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Abandoned {
    /// The call whose sandbox may be there.
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

/// Orphaned sandboxes were still being cleaned up when the time to wait for it was over.
///
/// The service ends them when their lifetime is over; [`Client::sweep`](crate::Client::sweep) of the
/// next process ends them sooner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct OrphansLeft {
    /// The calls whose attempts may still turn out to have created a sandbox.
    pub calls: Vec<CallId>,
    /// The sandboxes that could not be killed yet.
    pub sandboxes: Vec<SandboxId>,
}

impl OrphansLeft {
    /// How many they are.
    pub fn left(&self) -> usize {
        self.calls.len() + self.sandboxes.len()
    }
}

/// The most that a message names.
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
