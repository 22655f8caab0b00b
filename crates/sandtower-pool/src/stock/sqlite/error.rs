use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A [`SqliteStock`](crate::SqliteStock) cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct SqliteError {
    path: PathBuf,
    #[source]
    problem: Problem,
}

/// What is wrong with it, and what would be right.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("another process keeps it locked; it is tried again ({0})")]
    Busy(rusqlite::Error),
    #[error(
        "another pool with this owner and API key uses it; it is tried again: two processes that run at the same \
         time need two owners"
    )]
    InUse,
    #[error("the file beside it that ends in `.lock` cannot be locked: {0}")]
    Lock(std::io::Error),
    #[error("it cannot be written: the process needs to write the file and its folder ({0})")]
    ReadOnly(rusqlite::Error),
    #[error(
        "it cannot be opened: its folder must exist, and it must be a file that can be written ({0})"
    )]
    CannotOpen(rusqlite::Error),
    #[error("it is closed, or was never loaded")]
    NotLoaded,
    #[error("the disk is full ({0})")]
    Full(rusqlite::Error),
    #[error(
        "it is damaged: move it away, and the stock of the process before ends by itself ({0})"
    )]
    Corrupt(rusqlite::Error),
    #[error("it is no record of a pool: name another file")]
    NotADatabase,
    #[error(
        "it was written by a newer version, with format {found}; this one knows up to {known}: use the newer version, \
         or name another file"
    )]
    Newer { found: i64, known: i64 },
    #[error("{0}")]
    Unavailable(rusqlite::Error),
}

impl SqliteError {
    pub(super) fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(error),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(error),
            Some(ErrorCode::CannotOpen) => Self::CannotOpen(error),
            Some(ErrorCode::DiskFull) => Self::Full(error),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(error),
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            _ => Self::Unavailable(error),
        }
    }
}
