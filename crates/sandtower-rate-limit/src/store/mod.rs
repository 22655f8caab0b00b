//! Where records outlive their process.

mod checksum;
mod file;

use std::time::Duration;

use sandtower_core::Operation;

pub use file::FileStore;

/// Keeps what was sent and learned beyond one process, or shares it between several.
///
/// A [`RateLimit`](crate::RateLimit) counts in memory and decides by that alone; now and then, never
/// during a call, it [exchanges](Store::exchange) with its store. A store that fails is told of once
/// and tried again: what was not taken stays with the limit, which counts on by itself.
///
/// Times are milliseconds since 1970, since ticks mean nothing to another process.
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Adds `ours`, in one step that no other instance sees half of, and reads what others have
    /// added since this instance's last exchange: at the first one, all that is not older than the
    /// window. What an instance before this one has left behind counts as that of others.
    ///
    /// # Errors
    ///
    /// None of `ours` was taken; they come again with the next exchange.
    fn exchange(&self, ours: &[Entry], now: u64) -> Result<Vec<Entry>, StoreError>;

    /// Removes what expired before `now`, not more than a run may, and says how much that was.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    fn cleanup(&self, _now: u64) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// One thing that a [`Store`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Attempts that were sent.
    Sent {
        /// The number of their operation.
        operation: u8,
        /// When.
        at: u64,
        /// How many; fewer than none if more were given back than sent.
        count: i64,
    },
    /// What was learned of a server's limit. Its burst is told by the first answer again.
    Learned {
        /// The number of the operation.
        operation: u8,
        /// The number of the scope.
        scope: u64,
        /// When.
        at: u64,
        /// One comes back no faster than this.
        interval_low: Duration,
        /// One comes back no slower than this.
        interval_high: Duration,
    },
}

impl Entry {
    /// `count` attempts of `operation` that were sent at `at`.
    pub fn sent(operation: Operation, at: u64, count: i64) -> Self {
        // There are no more than 256 operations.
        Self::Sent { operation: operation.index() as u8, at, count }
    }
}

/// A [`Store`] could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the store of the rate limit cannot be used")]
pub struct StoreError(#[from] pub std::io::Error);
