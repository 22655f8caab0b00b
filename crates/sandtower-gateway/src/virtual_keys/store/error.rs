use std::path::PathBuf;

use rusqlite::ErrorCode;

/// The store of virtual keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store of virtual keys {}: {problem}", .path.display())]
pub struct StoreError {
    path: PathBuf,
    #[source]
    problem: Problem,
}

/// What is wrong with it, and what would be right.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("another process keeps it locked; it is tried again ({0})")]
    Busy(rusqlite::Error),
    #[error("another gateway uses it: each needs a store of its own")]
    InUse,
    #[error("the file beside it that ends in `.lock` cannot be locked: {0}")]
    Lock(std::io::Error),
    #[error("it cannot be written: the gateway needs to write the file and its folder ({0})")]
    ReadOnly(rusqlite::Error),
    #[error("the disk is full ({0})")]
    Full(rusqlite::Error),
    #[error(
        "the file is damaged: put a copy of it back, or move it away and create the keys again ({0})"
    )]
    Corrupt(rusqlite::Error),
    #[error("the file is no database of this program: name another one")]
    NotADatabase,
    #[error(
        "it was written by a newer version, with format {found}; this one knows up to {known}: use the newer version, or a copy from before"
    )]
    Newer { found: i64, known: i64 },
    #[error("what it says of a key cannot be read: {0}")]
    Row(String),
    #[error("no thread can be started to write it: {0}")]
    Thread(std::io::Error),
    #[error("{0}")]
    Unavailable(rusqlite::Error),
}

impl StoreError {
    pub(super) fn new(path: PathBuf, problem: Problem) -> Self {
        Self { path, problem }
    }

    /// One word for what is wrong.
    pub fn label(&self) -> &'static str {
        self.problem.label()
    }
}

impl Problem {
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::InUse => "in_use",
            Self::Lock(_) => "lock",
            Self::ReadOnly(_) => "read_only",
            Self::Full(_) => "full",
            Self::Corrupt(_) => "corrupt",
            Self::NotADatabase => "not_a_database",
            Self::Newer { .. } => "newer",
            Self::Row(_) => "row",
            Self::Thread(_) => "thread",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(error),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(error),
            Some(ErrorCode::DiskFull) => Self::Full(error),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(error),
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            _ => Self::Unavailable(error),
        }
    }
}
