use serde::Serialize;

use crate::{Marks, SandboxId};

/// What became of creations whose answer was lost, and of sandboxes that nobody got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CreationsSnapshot {
    /// Attempts that may still turn out to have made a sandbox.
    pub open: u64,
    /// Sandboxes that are being killed.
    pub releasing: u64,
    /// Attempts that were ever watched.
    pub watched: u64,
    /// Sandboxes that were found and handed to their caller.
    pub adopted: u64,
    /// Sandboxes that were killed since nobody held them.
    pub killed: u64,
    /// Sandboxes that had ended by themselves when they were to be killed.
    pub gone: u64,
    /// Attempts that could not be looked for until their end, and sandboxes that could not be
    /// killed. The service ends these when their lifetime is over.
    pub given_up: u64,
    /// The last 256 of them.
    pub last_given_up: Vec<GivenUp>,
}

/// What could not be settled: one of both is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GivenUp {
    /// The call whose sandbox may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The sandbox that could not be killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

impl GivenUp {
    pub(super) fn attempt(attempt: Marks) -> Self {
        Self { call: Some(attempt.call.to_string()), sandbox: None }
    }

    pub(super) fn sandbox(sandbox: &SandboxId) -> Self {
        Self { call: None, sandbox: Some(sandbox.to_string()) }
    }
}

/// Something was not settled yet when the time to wait for it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} attempts and sandboxes that nobody holds are not settled yet")]
#[non_exhaustive]
pub struct Unsettled {
    /// How many.
    pub left: u64,
}
