//! A sandbox's files: a tree in memory, with a bound, shared by all that works in the sandbox.

mod entry;
mod path;
mod tree;
mod watcher;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lock::lock;

pub use entry::{Entry, FileError, Kind};
pub(crate) use path::{home, is_user};
pub(crate) use tree::{Change, Metadata};
use tree::{Owner, Tree};
pub(crate) use watcher::{Event, Overflow, TooManyWatchers, Watched, Watcher, Watchers};

/// What one sandbox may hold in its files, in bytes; names and directories count too.
const SANDBOX_CAPACITY: u64 = 16 * 1024 * 1024;

/// What all sandboxes of a simulator may hold together.
const TOTAL_CAPACITY: u64 = 1024 * 1024 * 1024;

/// The files of one sandbox. A clone is another handle to the same files.
///
/// Nothing of the host is in them: they begin with a few empty directories. They hold at most
/// 16 MiB, and the files of all sandboxes of a simulator at most 1 GiB. Paths are absolute; `.`
/// and `..` are understood. Nothing is denied: modes and owners are only shown.
#[derive(Clone)]
pub struct Files(Arc<Volume>);

struct Volume {
    tree: Mutex<Tree>,
    /// Never locked before the tree.
    watchers: Mutex<Watchers>,
    budget: Budget,
    /// Counts what ends all that works in the sandbox: a boot, and its end.
    stops: watch::Sender<u64>,
}

/// What the files of a simulator's sandboxes take of its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<AtomicU64>);

impl Files {
    pub(crate) fn new(budget: Budget) -> Self {
        Self::of(Tree::new(), budget)
    }

    fn of(tree: Tree, budget: Budget) -> Self {
        let (tree, watchers) = (Mutex::new(tree), Mutex::default());
        Self(Arc::new(Volume { tree, watchers, budget, stops: watch::Sender::default() }))
    }

    /// A copy: neither sees what becomes of the other.
    pub(crate) fn fork(&self) -> Result<Self, FileError> {
        let mut tree = self.tree().clone();
        tree.note_changes(false);
        if tree.used() > self.0.budget.left() {
            return Err(FileError::NoSpace);
        }
        self.0.budget.take(tree.used());
        Ok(Self::of(tree, self.0.budget.clone()))
    }

    /// The sandbox boots: whatever works with its files ends.
    pub(crate) fn boot(&self, id: String) {
        lock(&self.0.tree).boot(id);
        *self.watchers() = Watchers::default();
        self.0.stops.send_modify(|stops| *stops += 1);
    }

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// If there is no such file, or if it is a directory.
    pub fn read(&self, path: &str) -> Result<Bytes, FileError> {
        self.tree().read(&path::clean(path)?)
    }

    /// Replaces what a file holds, or makes it, with the directories above it.
    ///
    /// # Errors
    ///
    /// If it is a directory, or lies in what is none, or if the disk is full.
    pub fn write(
        &self,
        path: &str,
        content: impl Into<Bytes>,
        owner: &str,
    ) -> Result<(), FileError> {
        let (path, owner) = (path::clean(path)?, Owner::maker(owner));
        let content = content.into();
        self.change(|tree| tree.make_parents(&path, owner)?.write(&path, content, owner, None))
    }

    /// As [`write`](Self::write), the way envd does it: the owner is set afterwards, and metadata
    /// replaces what was there.
    pub(crate) fn upload(
        &self,
        path: &str,
        content: Bytes,
        owner: &str,
        metadata: Metadata,
    ) -> Result<(), FileError> {
        let (path, owner) = (path::clean(path)?, Owner::given(owner));
        let metadata = Some(metadata);
        self.change(|tree| tree.make_parents(&path, owner)?.write(&path, content, owner, metadata))
    }

    /// Adds to the end of a file that lies in a directory; makes it if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and if there is no directory for it.
    pub fn append(&self, path: &str, content: &[u8], owner: &str) -> Result<(), FileError> {
        let path = path::clean(path)?;
        self.change(|tree| tree.append(&path, content, Owner::maker(owner)))
    }

    /// Makes an empty file that lies in a directory, or empties the one that is there.
    ///
    /// # Errors
    ///
    /// As for [`append`](Self::append).
    pub fn truncate(&self, path: &str, owner: &str) -> Result<(), FileError> {
        let (path, owner) = (path::clean(path)?, Owner::maker(owner));
        self.change(|tree| tree.in_directory(&path)?.write(&path, Bytes::new(), owner, None))
    }

    /// Makes a directory, and those above it.
    ///
    /// # Errors
    ///
    /// If something is there already, or above it what is no directory; or if the disk is full.
    pub fn make_directory(&self, path: &str, owner: &str) -> Result<(), FileError> {
        let (path, owner) = (path::clean(path)?, Owner::maker(owner));
        self.change(|tree| tree.make_parents(&path, owner)?.make_directory(&path, owner))
    }

    /// As [`make_directory`](Self::make_directory), the way envd does it.
    pub(crate) fn provide_directory(&self, path: &str, owner: &str) -> Result<(), FileError> {
        let (path, owner) = (path::clean(path)?, Owner::given(owner));
        self.change(|tree| tree.make_parents(&path, owner)?.make_directory(&path, owner))
    }

    /// Removes a file or a directory with all that is in it.
    ///
    /// # Errors
    ///
    /// If it is not there, or if it is the root.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        let path = path::clean(path)?;
        self.change(|tree| tree.remove(&path))
    }

    /// Gives a file or a directory another place; a file that is there is replaced.
    ///
    /// # Errors
    ///
    /// If there is nothing to move, or if a directory is in the way, or would lie in itself.
    pub fn rename(&self, from: &str, to: &str, owner: &str) -> Result<(), FileError> {
        let (from, to) = (path::clean(from)?, path::clean(to)?);
        self.change(|tree| tree.make_parents(&to, Owner::given(owner))?.rename(&from, &to))
    }

    /// What is known of a file or a directory.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn entry(&self, path: &str) -> Result<Entry, FileError> {
        self.tree().entry(&path::clean(path)?)
    }

    /// What is in a directory, down to `depth` levels, in the order of their paths.
    ///
    /// # Errors
    ///
    /// If it is not there, or is no directory.
    pub fn list(&self, path: &str, depth: usize) -> Result<Vec<Entry>, FileError> {
        self.tree().list(&path::clean(path)?, depth)
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        self.entry(path).is_ok_and(|entry| entry.kind == Kind::Directory)
    }

    /// How many bytes are held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.tree().used()
    }

    /// How many bytes can be held.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        SANDBOX_CAPACITY
    }

    /// Watches what happens in a directory from now on; its path must be a clean one.
    pub(crate) fn watch(&self, watched: Watched) -> Result<Arc<Watcher>, TooManyWatchers> {
        let mut tree = self.tree();
        let watcher = self.watchers().add(watched)?;
        tree.note_changes(true);
        Ok(watcher)
    }

    /// Done when the sandbox has ended, or boots; from when this is called, not polled.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stops = self.0.stops.subscribe();
        async move {
            // An error means that the sandbox is gone.
            drop(stops.changed().await);
        }
    }

    /// The sandbox has ended: what was in the files is forgotten.
    pub(crate) fn end(&self) {
        let mut tree = lock(&self.0.tree);
        self.0.budget.give_back(tree.used());
        *tree = Tree::closed();
        *self.watchers() = Watchers::default();
        drop(tree);
        self.0.stops.send_modify(|stops| *stops += 1);
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        let mut tree = lock(&self.0.tree);
        tree.fill();
        tree
    }

    pub(crate) fn watchers(&self) -> MutexGuard<'_, Watchers> {
        lock(&self.0.watchers)
    }

    /// Makes a change, if there is room for it, and tells who watches.
    fn change(
        &self,
        change: impl FnOnce(&mut Tree) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let mut tree = self.tree();
        let before = tree.used();
        tree.allow(SANDBOX_CAPACITY.min(before.saturating_add(self.0.budget.left())));
        let changed = change(&mut tree);
        let after = tree.used();
        if after > before {
            self.0.budget.take(after - before);
        } else {
            self.0.budget.give_back(before - after);
        }
        let changes = tree.take_changes();
        if !changes.is_empty() {
            let watched = self.watchers().tell(&tree, &changes);
            tree.note_changes(watched);
        }
        changed
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("used", &self.used()).finish_non_exhaustive()
    }
}

impl Default for Files {
    /// The files of a sandbox of their own.
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl PartialEq for Files {
    /// Whether both are handles to the same files.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Files {}

impl Drop for Volume {
    fn drop(&mut self) {
        let used = self.tree.get_mut().unwrap_or_else(PoisonError::into_inner).used();
        self.budget.give_back(used);
    }
}

impl Budget {
    fn take(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        TOTAL_CAPACITY.saturating_sub(self.0.load(Ordering::Relaxed))
    }
}
