//! The truth about what happened, as no client can know it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::seconds;

/// A snapshot of everything that happened since the simulator began.
///
/// Times are since then; in serialized form they are decimal seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// When the snapshot was taken.
    #[serde(with = "seconds")]
    pub now: Duration,
    /// What became of requests for a sandbox.
    pub creates: CreateCounts,
    /// Requests by what they asked for.
    pub requests: BTreeMap<&'static str, u64>,
    /// Connections that were refused or reset instead of giving a response.
    pub broken_connections: u64,
    /// How often each fault was injected, by its name.
    pub injected: BTreeMap<String, u64>,
    /// Sandboxes that run, zombies included.
    pub active: u64,
    /// Sandboxes that are paused.
    pub paused: u64,
    /// Sandboxes that died before their time.
    pub died: u64,
    /// Sandboxes that were killed.
    pub killed: u64,
    /// Sandboxes whose lifetime was over.
    pub expired: u64,
    /// Sandboxes that ended so long ago that they are no longer in `sandboxes`.
    pub dropped: u64,
    /// Sandboxes in the order of the requests that created them.
    pub sandboxes: Vec<SandboxRecord>,
}

/// What became of requests for a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CreateCounts {
    /// Requests that arrived.
    pub received: u64,
    /// Sandboxes that came to be, whether their caller learned of it or not.
    pub created: u64,
    /// Of those, the ones that came to be after their caller had got a failure.
    pub created_late: u64,
    /// Rejections and failures by status.
    pub rejected: BTreeMap<u16, u64>,
    /// The 429s for asking too often; they are in `rejected` too.
    pub rate_limited: u64,
    /// The 429s for having too many sandboxes; they are in `rejected` too.
    pub over_quota: u64,
    /// Creations that are worked on, those without a caller that waits included.
    pub in_flight: u32,
    /// The most that were ever worked on at a time.
    pub max_in_flight: u32,
}

/// One sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SandboxRecord {
    /// Its id.
    pub id: String,
    /// The number of the request that made it, counted from 1.
    pub create: u64,
    /// The call that it was made for, if the request named one; at most 128 characters are kept.
    pub call: Option<String>,
    /// The template's name.
    pub template: String,
    /// When it came to be.
    #[serde(with = "seconds")]
    pub created_at: Duration,
    /// When its team first learned of it other than by the response to its creation: by a list, or
    /// by a look at it.
    #[serde(with = "seconds::optional")]
    pub found_at: Option<Duration>,
    /// When its caller's own work in it, or its health check, first succeeded.
    #[serde(with = "seconds::optional")]
    pub seen_alive_at: Option<Duration>,
    /// When it ended, if it did.
    #[serde(with = "seconds::optional")]
    pub ended_at: Option<Duration>,
    /// How it ended, if it did.
    pub end: End,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is dead inside.
    pub zombie: bool,
    /// Whether the response that names it never reached its caller, which may not know of it.
    ///
    /// Behind a socket, a response that was written to the connection counts as having reached it.
    pub response_lost: bool,
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// It has not.
    #[default]
    StillRunning,
    /// It was killed by a request.
    Killed,
    /// Its lifetime was over.
    Lifetime,
    /// It died before its time.
    Died,
}

/// Sandboxes that ended, the newest up to a capacity.
pub(crate) struct Ended {
    records: VecDeque<SandboxRecord>,
    capacity: usize,
    pub(crate) killed: u64,
    pub(crate) expired: u64,
    pub(crate) died: u64,
    pub(crate) dropped: u64,
}

impl Ended {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { records: VecDeque::new(), capacity, killed: 0, expired: 0, died: 0, dropped: 0 }
    }

    pub(crate) fn push(&mut self, record: SandboxRecord) {
        match record.end {
            End::StillRunning => {}
            End::Killed => self.killed += 1,
            End::Lifetime => self.expired += 1,
            End::Died => self.died += 1,
        }
        self.records.push_back(record);
        if self.records.len() > self.capacity {
            self.records.pop_front();
            self.dropped += 1;
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &SandboxRecord> {
        self.records.iter()
    }

    pub(crate) fn find(&mut self, id: &str) -> Option<&mut SandboxRecord> {
        self.records.iter_mut().rev().find(|record| record.id == id)
    }
}
