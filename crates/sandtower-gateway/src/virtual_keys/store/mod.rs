//! Keys and what they have used, in an SQLite database.
//!
//! The book in memory counts; the store follows it, and is read when a gateway starts. It is written a
//! quarter of a second after a change, and at once before a creation is sent. One that cannot be written
//! is tried again: what it does not have stays in the news of the book, which are bounded by the book.

mod error;
mod rows;
mod schema;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;
use tokio::sync::watch;

use self::error::Problem;
use self::rows::Batch;
use super::Inner;
use super::book::Book;

pub use error::StoreError;
#[cfg(test)]
pub(super) use schema::MIGRATIONS;

/// A change is in the store at most this much later, and the time that writing it takes.
const EVERY: Duration = Duration::from_millis(250);
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(1);
/// After a failure it is tried again this much later.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a creation waits until its reservation is written: then it goes on by the limits known.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether keys and what they have used are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// There is no store: they are lost at a restart.
    Memory,
    /// They are.
    Available,
    /// The store cannot be written, and is tried again each second. The log says why.
    Unavailable,
}

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    turn: Mutex<Turn>,
    progress: watch::Sender<Progress>,
    is_stopped: AtomicBool,
    /// Wakes the thread that writes.
    writer: Mutex<Option<Thread>>,
    /// Held as long as this lives: two gateways that count by themselves would admit twice as much.
    _lock: File,
}

/// The database, and which file it is in.
type Open = (Connection, Option<FileId>);

/// Tells a file from another one that was put in its place.
type FileId = (u64, u64);

/// Held while it is written.
#[derive(Debug, Default)]
struct Turn {
    open: Option<Open>,
    /// Why it could not be written the last time: logged once.
    failing: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The changes up to this one are written.
    written: u64,
    is_failing: bool,
}

impl Store {
    /// Opens the database at `path`, or creates it, and reads it into `book`.
    pub(super) fn open(path: &Path, book: &mut Book) -> Result<Self, StoreError> {
        let failed = |problem| StoreError::new(path.to_owned(), problem);
        let lock = lock(path).map_err(failed)?;
        let connection = connect(path).map_err(failed)?;
        rows::read(&connection, book).map_err(failed)?;
        let open = Some((connection, file_id(path)));
        Ok(Self {
            path: path.to_owned(),
            turn: Mutex::new(Turn { open, failing: None }),
            progress: watch::Sender::new(Progress { written: book.changes, is_failing: false }),
            is_stopped: AtomicBool::new(false),
            writer: Mutex::default(),
            _lock: lock,
        })
    }

    /// Writes what is new. `false`: it cannot be written.
    pub(super) fn write(&self, inner: &Inner) -> bool {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that was moved away, or replaced, is written no more.
        let here = file_id(&self.path);
        let open = turn.open.take().filter(|(_, file)| here.is_some() && *file == here);
        let replaces = open.is_none();
        let (news, batch, changes) = {
            let mut book = inner.book();
            let news = std::mem::take(&mut book.news);
            let batch = if replaces { Batch::all(&book) } else { Batch::of(&book, &news) };
            (news, batch, book.changes)
        };
        let done = match news.is_empty() {
            true if !replaces => Ok(open),
            _ => self.commit(open, &batch).map(Some),
        };
        let done = done.map(|open| turn.open = open);
        if done.is_err() {
            inner.book().news.merge(news);
        }
        let failing = done.as_ref().err().map(Problem::label);
        let changed = std::mem::replace(&mut turn.failing, failing) != failing;
        drop(turn);
        self.progress.send_modify(|progress| {
            progress.is_failing = failing.is_some();
            if failing.is_none() {
                progress.written = progress.written.max(changes);
            }
        });
        if changed {
            self.tell(done.as_ref().err());
        }
        done.is_ok()
    }

    /// After an error it is opened anew: closing it rolls back.
    fn commit(&self, open: Option<Open>, batch: &Batch) -> Result<Open, Problem> {
        let (mut connection, file) = match open {
            Some(open) => open,
            None => {
                let connection = connect(&self.path)?;
                (connection, file_id(&self.path))
            }
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        batch.write(&transaction)?;
        transaction.commit()?;
        Ok((connection, file))
    }

    /// Waits until the changes up to this one are written, or it is known that they cannot be. Returns
    /// whether they are.
    pub(super) async fn written(&self, change: u64) -> bool {
        if let Some(writer) = &*self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.unpark();
        }
        let mut progress = self.progress.subscribe();
        let done = progress.wait_for(|now| now.written >= change || now.is_failing);
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(now) => now.is_ok_and(|now| now.written >= change),
            Err(_) => {
                tracing::warn!("virtual key store slow, a creation is sent before it is stored");
                false
            }
        }
    }

    pub(super) fn state(&self) -> StoreState {
        match self.progress.borrow().is_failing {
            true => StoreState::Unavailable,
            false => StoreState::Available,
        }
    }

    /// The thread that writes ends, after what is new.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    /// The database may not grow, for as long as this connection is open.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((connection, _)) = &turn.open {
            let pages = connection.pragma_update(None, "max_page_count", 1);
            assert!(pages.is_ok());
        }
    }

    /// Called with no lock held: a subscriber of `tracing` may use the keys.
    fn tell(&self, problem: Option<&Problem>) {
        let path = self.path.display();
        match problem {
            Some(problem) => tracing::error!(
                %path, kind = problem.label(), error = %problem,
                "virtual key store unavailable, keys and usage are kept in memory"
            ),
            None => tracing::info!(%path, "virtual key store recovered"),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Problem> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    schema::migrate(&mut connection, schema::MIGRATIONS)?;
    Ok(connection)
}

/// Locks a file beside the database, so that SQLite's own tools can read it.
fn lock(path: &Path) -> Result<File, Problem> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).append(true).open(name).map_err(Problem::Lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Problem::InUse),
        Err(TryLockError::Error(error)) => Err(Problem::Lock(error)),
    }
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

/// Starts the thread that writes to the store, if there is one.
pub(super) fn write_in_background(
    inner: &Arc<Inner>,
) -> Result<Option<JoinHandle<()>>, StoreError> {
    let Some(store) = &inner.store else { return Ok(None) };
    let of_thread = Arc::clone(inner);
    let run = move || {
        let Some(store) = &of_thread.store else { return };
        loop {
            let is_last = store.is_stopped.load(Ordering::Acquire);
            let done = store.write(&of_thread);
            if is_last {
                return;
            }
            std::thread::park_timeout(if done { EVERY } else { AGAIN });
        }
    };
    let thread = std::thread::Builder::new().name("virtual-keys".to_owned());
    let thread = thread
        .spawn(run)
        .map_err(|error| StoreError::new(store.path.clone(), Problem::Thread(error)))?;
    *store.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    Ok(Some(thread))
}
