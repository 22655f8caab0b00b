//! Creations in flight in a file, so that what they leave behind at a crash is found and killed after it.
//!
//! | a row of a call | what is known of it | after a crash |
//! |---|---|---|
//! | without a sandbox | no caller has seen a sandbox of it | all sandboxes of the call are killed |
//! | with a sandbox | its response may have reached the caller | that sandbox lives, others of the call are killed |
//! | none | the caller owns its sandbox, or there is none | nothing is touched |
//!
//! A row begins before the first attempt is sent. The sandbox is written, and is on the disk, before the
//! first byte of the response goes to the caller, and the row ends once the connection has taken the
//! response. So a crash in between, or a power failure, can leave an orphan until its timeout, but never
//! kills a sandbox that its caller owns. A creation under the caller's own `Idempotency-Key` has no row: the
//! caller gets the same sandbox by repeating it.

mod recovery;
mod store;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sandtower::core::Tick;
use sandtower::e2b::{CallId, SandboxId};
use tokio::sync::oneshot;

use self::store::Store;
use crate::config::ConfigError;
use crate::keys::TenantId;

pub(crate) use self::recovery::Recovery;
pub(crate) use self::store::Left;

/// How long a row stays of which the running process may still have something to kill: the tracker looks
/// for a sandbox for 2 minutes, and retries a kill for 15.
const KEPT: Duration = Duration::from_secs(20 * 60);

/// The file, and the thread that writes to it: a disk that is slow delays creations and nothing else.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` once it ends.
    jobs: Option<Sender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// One change, and where its outcome goes if the caller waits for it.
#[derive(Debug)]
struct Job {
    change: Change,
    done: Option<oneshot::Sender<bool>>,
}

#[derive(Debug)]
enum Change {
    /// The call begins.
    Begin(CallId, TenantId),
    /// The sandbox is about to be returned to the caller.
    Offer(CallId, SandboxId),
    /// The caller did not take what was offered.
    Withdraw(CallId),
    /// Nothing of the call needs to be killed from so long on.
    End(CallId, Duration),
}

impl Journal {
    /// Opens the file, or creates it; also returns what an earlier process left in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Left>), ConfigError> {
        let failed = |why: String| {
            ConfigError::new("journal", format!("{} cannot be used: {why}", path.display()))
        };
        let mut store = Store::open(path).map_err(failed)?;
        let left = store.left().map_err(|error| failed(error.to_string()))?;
        let (jobs, waiting) = channel();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || write_all(&waiting, store));
        let writer = writer.map_err(|error| failed(error.to_string()))?;
        Ok((Self { jobs: Some(jobs), writer: Mutex::new(Some(writer)) }, left))
    }

    /// Records that a call begins; `None`: the file cannot be written, and the call goes on unrecorded.
    pub(crate) async fn begin(self: &Arc<Self>, call: CallId, tenant: TenantId) -> Option<Entry> {
        let entry = Entry { journal: Arc::clone(self), call, is_offered: false, ends: Ends::Later };
        // Dropped, and so ended, if it was not recorded.
        self.wait(Change::Begin(call, tenant)).await.then_some(entry)
    }

    /// The calls need no row any more.
    pub(crate) fn forget(&self, calls: impl IntoIterator<Item = CallId>) {
        calls.into_iter().for_each(|call| self.tell(Change::End(call, Duration::ZERO)));
    }

    async fn wait(&self, change: Change) -> bool {
        let (done, outcome) = oneshot::channel();
        self.send(Job { change, done: Some(done) });
        outcome.await.unwrap_or(false)
    }

    fn tell(&self, change: Change) {
        self.send(Job { change, done: None });
    }

    /// Unbounded, but each call in flight has few changes in it.
    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The writer ends after the last sender.
            drop(jobs.send(job));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Changes that wait are written before the process ends.
        drop(writer.map(JoinHandle::join));
    }
}

/// The row of one call. Unless it was taken, it ends as one that may have left something.
#[derive(Debug)]
pub(crate) struct Entry {
    journal: Arc<Journal>,
    call: CallId,
    is_offered: bool,
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Nothing else of the call can exist.
    Now,
    Later,
}

impl Entry {
    /// Only one attempt was sent, and what it left is known.
    pub(crate) fn has_left_nothing_else(&mut self) {
        self.ends = Ends::Now;
    }

    /// The sandbox is about to be returned to the caller; `None`: the caller alone can tell which one.
    /// `false`: that is not on the disk, and a crash could kill the sandbox under its caller.
    pub(crate) async fn offer(&mut self, sandbox: Option<SandboxId>) -> bool {
        let Some(sandbox) = sandbox else {
            return self.journal.wait(Change::End(self.call, Duration::ZERO)).await;
        };
        self.is_offered = true;
        self.journal.wait(Change::Offer(self.call, sandbox)).await
    }

    /// The caller has the sandbox.
    pub(crate) fn taken(mut self) {
        self.is_offered = false;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.is_offered {
            // The tracker is about to kill it.
            self.ends = Ends::Later;
            self.journal.tell(Change::Withdraw(self.call));
        }
        let after = if self.ends == Ends::Now { Duration::ZERO } else { KEPT };
        self.journal.tell(Change::End(self.call, after));
    }
}

fn written_alone(store: &mut Store, change: Change) -> bool {
    let written = store.write(&[change], Tick::now());
    if let Err(error) = &written {
        tracing::error!(%error, "journal not written");
    }
    written.is_ok()
}

fn write_all(jobs: &Receiver<Job>, mut store: Store) {
    while let Ok(first) = jobs.recv() {
        // One transaction, and one wait for the disk, for all that came meanwhile.
        let mut all = vec![first];
        all.extend(jobs.try_iter());
        let (changes, waiting): (Vec<_>, Vec<_>) =
            all.into_iter().map(|job| (job.change, job.done)).unzip();
        let is_written = store.write(&changes, Tick::now()).is_ok();
        for (change, done) in changes.into_iter().zip(waiting) {
            // One that cannot be written must not fail the others.
            let written = is_written || written_alone(&mut store, change);
            // A caller that went away waits for nothing.
            if let Some(done) = done {
                _ = done.send(written);
            }
        }
    }
}

#[cfg(test)]
mod tests;
