//! Where counts outlive their process.

#[cfg(feature = "sqlite")]
mod sqlite;

use sandtower_core::{BoxError, Operation};

#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// Keeps what was sent, and which scopes are held, beyond one process, or shares the counts between
/// several.
///
/// A [`RateLimit`](crate::RateLimit) counts in memory and decides by that alone; in the background,
/// never during a call, it [exchanges](Store::exchange) with its store. While a store fails, the
/// limit counts in memory, and what was not taken comes again.
///
/// Times are milliseconds since 1970, since ticks mean nothing to another process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not store counts",
    label = "not a `Store`",
    note = "`SqliteStore` does, with the feature `sqlite`"
)]
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Adds `ours` and reads what others have added since this instance's last exchange: at the
    /// first one, all counts that are not older than the window, and all holds that have not ended.
    /// What an instance before this one has left behind counts as that of others. All or nothing is
    /// done. It may block; it is called by one thread at a time.
    ///
    /// # Errors
    ///
    /// None of `ours` was taken, and none of what others added counts as read.
    fn exchange(&self, ours: &[Entry], now: u64) -> Result<Vec<Entry>, StoreError>;

    /// Removes what expired before `now`, not more than a run may, and returns how many rows that
    /// was.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    fn cleanup(&self, now: u64) -> Result<u64, StoreError>;

    /// Releases what the store has open. It may be used again all the same.
    fn close(&self);
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
        /// How many; negative if more were given back than sent.
        count: i64,
    },
    /// A scope that its server holds.
    Held {
        /// The number of the operation.
        operation: u8,
        /// The number of the scope.
        scope: u64,
        /// Until when.
        until: u64,
    },
}

impl Entry {
    /// `count` attempts of `operation` that were sent at `at`.
    pub fn sent(operation: Operation, at: u64, count: i64) -> Self {
        // There are no more than 256 operations.
        Self::Sent { operation: operation.index() as u8, at, count }
    }
}

/// Why a [`Store`] cannot be used. Each of them may pass: the store is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the database locked for longer than a second.
    #[error("the database is locked by another process; it is tried again")]
    Busy(#[source] BoxError),
    /// The file or its folder cannot be written.
    #[error("the database is read-only: this process must be able to write its file and folder")]
    ReadOnly(#[source] BoxError),
    /// The disk is full.
    #[error("the disk is full; counts are written when there is room")]
    Full(#[source] BoxError),
    /// The database is damaged.
    #[error("the database is damaged: move it away, and a new one is created")]
    Corrupt(#[source] BoxError),
    /// The file is something else than a database of this crate.
    #[error("the file is no database of a rate limit: name another one, or move it away")]
    NotADatabase,
    /// The file was written by an earlier version, as a log.
    #[error(
        "the file is a log of an earlier version, which is not read: move it away, and a new database is created"
    )]
    OldFormat,
    /// Anything else.
    #[error("the store cannot be reached")]
    Unavailable(#[source] BoxError),
}

impl StoreError {
    /// The name for logs and metrics: one of a closed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::ReadOnly(_) => "read_only",
            Self::Full(_) => "full",
            Self::Corrupt(_) => "corrupt",
            Self::NotADatabase => "not_a_database",
            Self::OldFormat => "old_format",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
