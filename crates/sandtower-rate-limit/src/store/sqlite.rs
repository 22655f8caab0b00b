use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, named_params, params};
use sandtower_core::Rng;

use super::{Entry, Store, StoreError};

/// What the log of earlier versions began with, and the version of its format.
const OLD_LOG: &[u8] = b"sndtwr\0";

/// Written into the header of the database: it is this crate's, and no other application's.
const APPLICATION: i64 = 0x7364_726c;

/// How long to wait for another process that writes. No call waits for it.
const BUSY: Duration = Duration::from_secs(1);

/// How many expired rows are removed at once, so that other processes wait for one batch at most ...
const BATCH: u64 = 100;

/// ... and how often, in one run.
const BATCHES: u64 = 5;

/// Counts of one operation are kept apart by so many parts of the window: as the window itself does.
const PARTS: i64 = 64;

/// Clocks of processes on one machine agree to less than this, in milliseconds.
const SKEW: i64 = 1_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sent (
        id INTEGER PRIMARY KEY AUTOINCREMENT, operation INTEGER NOT NULL,
        at INTEGER NOT NULL, count INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS sent_at ON sent (at, operation);
    CREATE TABLE IF NOT EXISTS held (
        operation INTEGER NOT NULL, scope INTEGER NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (operation, scope)
    ) WITHOUT ROWID;";

/// A [`Store`] in an SQLite database, shared by all processes on one machine that name its path.
///
/// The database is in WAL mode, with two files beside it (`-wal`, `-shm`); it must not lie on a
/// network file system. An existing file keeps its permissions, and a symlink is followed. Counts
/// take at most 65 rows for each operation, holds one for each scope that is held. What a server
/// said of its rate is not kept.
///
/// An exchange is one transaction. It is safe when the process is killed; a loss of power can undo
/// the last ones. A database that cannot be used (locked, read-only, full, damaged, or none at all)
/// is left as it is and tried again at the next exchange. Rows from the future, of a clock that was
/// wrong once, count as sent when they are first seen.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// How long rows are kept, and the width of the part that a row stands for, in milliseconds.
    keep: i64,
    width: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// Which database `known` is of: one that was created anew numbers its rows anew.
    database: Option<i64>,
    /// The counts, by row, that this instance has seen or written.
    known: HashMap<i64, i64>,
    /// Whether the holds of the process before were read.
    holds_read: bool,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// A random number that it was given when it was created.
    database: i64,
    file: Option<FileId>,
}

/// Tells a file from another one that was put in its place.
type FileId = (u64, u64);

impl SqliteStore {
    /// Keeps counts in the database at `path` for as long as `window`. It is opened, or created, at
    /// the first exchange; its folder must exist.
    pub fn new(path: impl Into<PathBuf>, window: Duration) -> Self {
        // Half of the range: sums with a time stay within it.
        let keep = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::MAX / 2);
        let width = (keep / PARTS).max(1);
        Self { path: path.into(), keep, width, state: Mutex::default() }
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the open database. After an error it is opened anew: closing it rolls back.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection, &mut State) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut state = self.lock();
        let here = file_id(&self.path);
        // A database that was moved away is written no more.
        let open = state.open.take().filter(|open| here.is_some() && open.file == here);
        let mut open = match open {
            Some(open) => open,
            None => {
                Open::new(&self.path).map_err(|error| read_only(&self.path).unwrap_or(error))?
            }
        };
        if state.database != Some(open.database) {
            *state = State { database: Some(open.database), ..State::default() };
        }
        let done = work(&mut open.connection, &mut state).map_err(explained)?;
        state.open = Some(open);
        Ok(done)
    }

    /// Writes `ours`, and returns the rows that it changed.
    fn write(&self, to: &Transaction<'_>, ours: &[Entry], now: i64) -> rusqlite::Result<()> {
        to.prepare("UPDATE sent SET at = ?1 WHERE at > ?1 + ?2")?
            .execute(params![now, self.width.saturating_add(SKEW)])?;
        for entry in ours {
            match *entry {
                Entry::Sent { operation, at, count } => self.add(to, operation, at, count)?,
                Entry::Held { operation, scope, until } => {
                    to.prepare(
                        "INSERT INTO held VALUES (:operation, :scope, :until)
                         ON CONFLICT DO UPDATE SET until = excluded.until
                         WHERE excluded.until > until OR until > :latest",
                    )?
                    .execute(named_params! {
                        ":operation": operation,
                        ":scope": scope.cast_signed(),
                        ":until": millis(until),
                        ":latest": now.saturating_add(self.keep),
                    })?;
                }
            }
        }
        Ok(())
    }

    fn add(
        &self,
        to: &Transaction<'_>,
        operation: u8,
        at: u64,
        count: i64,
    ) -> rusqlite::Result<()> {
        // The end of its part: kept for longer rather than not for long enough.
        let at = millis(at).div_euclid(self.width).saturating_add(1).saturating_mul(self.width);
        let row = "(SELECT id FROM sent WHERE at = ? AND operation = ? LIMIT 1)";
        let update = format!("UPDATE sent SET count = count + ? WHERE id = {row}");
        let updated = to.prepare(&update)?.execute(params![count, at, operation])?;
        if updated == 0 {
            to.prepare("INSERT INTO sent (operation, at, count) VALUES (?, ?, ?)")?
                .execute(params![operation, at, count])?;
        }
        Ok(())
    }
}

/// All rows: one that is too old today is known all the same, in case a clock goes back.
fn rows(from: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut query = from.prepare("SELECT id, operation, at, count FROM sent")?;
    let rows = query.query_map([], |row| {
        Ok(Row { id: row.get(0)?, operation: row.get(1)?, at: row.get(2)?, count: row.get(3)? })
    })?;
    rows.collect()
}

struct Row {
    id: i64,
    operation: u8,
    at: i64,
    count: i64,
}

impl Store for SqliteStore {
    fn exchange(&self, ours: &[Entry], now: u64) -> Result<Vec<Entry>, StoreError> {
        let now = millis(now);
        self.with(|connection, state| {
            let is_first = !state.holds_read;
            let behavior = match ours.is_empty() && !is_first {
                true => TransactionBehavior::Deferred,
                false => TransactionBehavior::Immediate,
            };
            let transaction = connection.transaction_with_behavior(behavior)?;
            // What others have added, before ours are among it.
            let before = rows(&transaction)?;
            let oldest = now.saturating_sub(self.keep);
            let counted = before.iter().filter(|row| row.at >= oldest);
            let mut theirs: Vec<_> = counted.filter_map(|row| row.news(&state.known)).collect();
            let mut known: HashMap<_, _> = before
                .iter()
                .filter(|row| row.at >= oldest || state.known.contains_key(&row.id))
                .map(|row| (row.id, row.count))
                .collect();
            if is_first {
                theirs.extend(holds(&transaction, now)?);
            }
            if !ours.is_empty() || is_first {
                self.write(&transaction, ours, now)?;
                let after = rows(&transaction)?.into_iter().filter(|row| row.at >= oldest);
                known.extend(after.map(|row| (row.id, row.count)));
            }
            transaction.commit()?;
            (state.known, state.holds_read) = (known, true);
            Ok(theirs)
        })
    }

    fn cleanup(&self, now: u64) -> Result<u64, StoreError> {
        let now = millis(now);
        let oldest = now.saturating_sub(self.keep);
        let mut removed = 0;
        for _ in 0..BATCHES {
            let batch = self.with(|connection, _| {
                let sent = connection.execute(
                    "DELETE FROM sent WHERE id IN (SELECT id FROM sent WHERE at < ? LIMIT ?)",
                    params![oldest, BATCH.cast_signed()],
                )? as u64;
                let left = BATCH.saturating_sub(sent).cast_signed();
                let held = connection.execute(
                    "DELETE FROM held WHERE (operation, scope) IN
                     (SELECT operation, scope FROM held WHERE until < ? LIMIT ?)",
                    params![now, left],
                )? as u64;
                Ok(sent + held)
            })?;
            removed += batch;
            if batch < BATCH {
                break;
            }
        }
        Ok(removed)
    }

    fn close(&self) {
        // Closing the last connection writes the log back into the database.
        self.lock().open = None;
    }
}

impl Row {
    /// What it has more, or fewer, than is known of it.
    fn news(&self, known: &HashMap<i64, i64>) -> Option<Entry> {
        let count = self.count.saturating_sub(known.get(&self.id).copied().unwrap_or(0));
        let at = self.at.max(0).cast_unsigned();
        (count != 0).then_some(Entry::Sent { operation: self.operation, at, count })
    }
}

fn holds(from: &Connection, now: i64) -> rusqlite::Result<Vec<Entry>> {
    let mut query = from.prepare("SELECT operation, scope, until FROM held WHERE until > ?")?;
    let rows = query.query_map([now], |row| {
        let (scope, until): (i64, i64) = (row.get(1)?, row.get(2)?);
        let (scope, until) = (scope.cast_unsigned(), until.max(0).cast_unsigned());
        Ok(Entry::Held { operation: row.get(0)?, scope, until })
    })?;
    rows.collect()
}

impl Open {
    fn new(path: &Path) -> Result<Self, StoreError> {
        if is_old_log(path) {
            return Err(StoreError::OldFormat);
        }
        let mut connection = Connection::open(path).map_err(explained)?;
        connection.busy_timeout(BUSY).map_err(explained)?;
        match prepared(&mut connection).map_err(explained)? {
            Some(database) => Ok(Self { connection, database, file: file_id(path) }),
            None => Err(StoreError::NotADatabase),
        }
    }
}

/// Prepares the database, if it is empty or this crate's, and returns its number. A database of
/// another application is not touched.
fn prepared(connection: &mut Connection) -> rusqlite::Result<Option<i64>> {
    let number = |of: &Connection, sql| of.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number(connection, "PRAGMA application_id")?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Ok(None);
    }
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    // Safe against a process that is killed, without waiting for the disk at each exchange.
    connection.pragma_update(None, "synchronous", "normal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if number(&transaction, "PRAGMA user_version")? == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", Rng::new().i32(1..))?;
    }
    let database = number(&transaction, "PRAGMA user_version")?;
    transaction.commit()?;
    Ok(Some(database))
}

fn is_old_log(path: &Path) -> bool {
    let mut magic = [0; OLD_LOG.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == OLD_LOG
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

/// SQLite does not tell a file that cannot be written from one that cannot be opened.
fn read_only(path: &Path) -> Option<StoreError> {
    let error = OpenOptions::new().append(true).open(path).err()?;
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some(StoreError::ReadOnly(error.into()))
        }
        _ => None,
    }
}

fn explained(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let source = error.into();
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(source),
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(source),
        Some(ErrorCode::DiskFull) => StoreError::Full(source),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt(source),
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase,
        _ => StoreError::Unavailable(source),
    }
}

fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
