//! A record of the stock in an SQLite database.

mod error;
mod rows;
mod schema;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use rusqlite::{Connection, TransactionBehavior};
use sandtower_core::BoxError;
use sandtower_e2b::Config as E2bConfig;
use sha2::{Digest as _, Sha256};

use super::{Rows, Step, Stock};
use error::Problem;

pub use error::SqliteError;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(1);

/// A [`Stock`] in an SQLite database. Pools with other owners or API keys may share it, in one process or in
/// several; a second pool with the same owner and key waits until the first has ended.
///
/// The database is in WAL mode, with two files beside it (`-wal`, `-shm`) and an empty one for each owner and key,
/// which ends in `.lock`. It must not lie on a network file system. It has the names of owners, hashes of API keys,
/// and ids of sandboxes and calls. What is recorded outlives a process that is killed; a loss of power can undo
/// the last moments.
///
/// A database that cannot be used (locked, read-only, full, damaged) is left as it is and tried again. One that was
/// moved away is created anew, with all that is known.
#[derive(Debug)]
pub struct SqliteStock {
    path: PathBuf,
    /// Whose rows: the owner, and a hash of the API key.
    scope: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Held as long as this lives.
    lock: Option<File>,
    open: Option<Open>,
    /// The rows that the database should have.
    rows: Rows,
}

/// The database, and which file it is in.
type Open = (Connection, Option<FileId>);

/// Tells a file from another one that was put in its place.
type FileId = (u64, u64);

impl SqliteStock {
    /// The record of the pool for the owner and the API key of `e2b` in the database at `path`. It is created if it
    /// is not there; its folder must exist.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is no database of this kind; the error says what would be right.
    pub fn open(path: impl Into<PathBuf>, e2b: &E2bConfig) -> Result<Self, SqliteError> {
        let path = path.into();
        let scope = format!("{}.{}", e2b.owner_name().as_str(), key_of(e2b));
        let connection = connect(&path).map_err(|problem| SqliteError::new(&path, problem))?;
        let open = Some((connection, file_id(&path)));
        Ok(Self { path, scope, state: Mutex::new(State { open, ..State::default() }) })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` in one transaction. After an error the database is opened anew: closing it rolls back.
    fn with<T>(
        &self,
        state: &mut State,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &str) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        // A file that was moved away, or replaced, is written no more.
        let here = file_id(&self.path);
        let open = state.open.take().filter(|(_, file)| here.is_some() && *file == here);
        let is_new = open.is_none();
        let (mut connection, file) = match open {
            Some(open) => open,
            None => (connect(&self.path)?, file_id(&self.path)),
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_new && state.lock.is_some() {
            rows::replace(&transaction, &self.scope, state.rows.all())?;
        }
        let done = work(&transaction, &self.scope)?;
        transaction.commit()?;
        state.open = Some((connection, file));
        Ok(done)
    }

    fn failed(&self, problem: Problem) -> BoxError {
        SqliteError::new(&self.path, problem).into()
    }

    fn try_load(&self) -> Result<Option<Vec<Step>>, Problem> {
        let mut state = self.state();
        let lock = match state.lock.take() {
            Some(lock) => lock,
            None => lock(&self.path, &self.scope)?,
        };
        let left = self.with(&mut state, rows::load)?;
        for step in left.iter().flatten() {
            state.rows.apply(step);
        }
        state.lock = Some(lock);
        Ok(left)
    }
}

impl Stock for SqliteStock {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        self.try_load().map_err(|problem| self.failed(problem))
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        let mut state = self.state();
        if state.lock.is_none() {
            return Err(self.failed(Problem::NotLoaded));
        }
        // Before they are written: they come again if they cannot be.
        steps.iter().for_each(|step| state.rows.apply(step));
        let write = |to: &rusqlite::Transaction<'_>, scope: &str| rows::write(to, scope, steps);
        self.with(&mut state, write).map_err(|problem| self.failed(problem))
    }

    fn close(&self) {
        // Closing the last connection writes the log back into the database.
        let State { lock, open, .. } = std::mem::take(&mut *self.state());
        drop(open);
        drop(lock);
    }
}

fn connect(path: &Path) -> Result<Connection, Problem> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    schema::migrate(&mut connection, schema::MIGRATIONS)?;
    Ok(connection)
}

/// Locks a file beside the database, so that SQLite's own tools can read it, and other pools use it.
fn lock(path: &Path, scope: &str) -> Result<File, Problem> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{scope}.lock"));
    let file = OpenOptions::new().create(true).append(true).open(name).map_err(Problem::Lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Problem::InUse),
        Err(TryLockError::Error(error)) => Err(Problem::Lock(error)),
    }
}

/// Tells API keys apart without them: the first 8 bytes of the SHA-256 of the key.
fn key_of(e2b: &E2bConfig) -> String {
    let request = e2b.control_request(Method::GET, "/", bytes::Bytes::new());
    let key = request.ok().and_then(|request| request.headers().get("x-api-key").cloned());
    let digest = Sha256::digest(key.as_ref().map_or(&[][..], |key| key.as_bytes()));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere a file that is open cannot be replaced.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}
