//! The tree itself: a map from clean paths to what is there.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};

use super::path::parent;
use super::*;
use crate::clock;

/// What an entry costs besides its path and its content.
const ENTRY_COST: u64 = 128;

/// The directories that a fresh sandbox has, with their owners.
const DIRECTORIES: &[(&str, &str)] = &[
    ("/", "root"),
    ("/bin", "root"),
    ("/etc", "root"),
    ("/home", "root"),
    ("/home/user", "user"),
    ("/opt", "root"),
    ("/proc", "root"),
    ("/proc/sys", "root"),
    ("/proc/sys/kernel", "root"),
    ("/proc/sys/kernel/random", "root"),
    ("/root", "root"),
    ("/tmp", "root"),
    ("/usr", "root"),
    ("/usr/bin", "root"),
    ("/usr/local", "root"),
    ("/var", "root"),
];

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A file's own metadata, which envd keeps in extended attributes.
pub(crate) type Metadata = BTreeMap<String, String>;

#[derive(Clone, Debug)]
struct Node {
    /// `None` of a directory.
    content: Option<Bytes>,
    mode: u32,
    owner: String,
    modified: Instant,
    metadata: Metadata,
}

/// The files of one sandbox, by their clean paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Which boot this is, until it is in a node.
    boot: Option<String>,
    used: u64,
    allowed: u64,
    /// The sandbox has ended.
    closed: bool,
    /// What has changed, if anybody watches.
    changes: Option<Vec<(Change, String)>>,
}

/// What happened to a file or a directory, as Linux tells it to who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was made, or moved here.
    Create,
    Write,
    Remove,
    /// It was moved away from here.
    Rename,
    /// Its permissions or its owner were set.
    Chmod,
}

/// Whose what is made becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    name: &'a str,
    /// Whether it is made first and given to its owner then, as envd does.
    given: bool,
}

impl<'a> Owner<'a> {
    pub(super) fn maker(name: &'a str) -> Self {
        Self { name, given: false }
    }

    pub(super) fn given(name: &'a str) -> Self {
        Self { name, given: true }
    }
}

type Done = Result<(), FileError>;

impl Tree {
    pub(super) fn new() -> Self {
        Self { allowed: SANDBOX_CAPACITY, ..Self::default() }
    }

    /// Sets which boot this is.
    pub(super) fn boot(&mut self, id: String) {
        self.boot = Some(id);
    }

    /// Puts there what every sandbox has, at its first use: most are never looked into. It costs
    /// nothing.
    pub(super) fn fill(&mut self) {
        if self.nodes.is_empty() && !self.closed {
            let directory =
                |(path, owner): &(&str, &str)| ((*path).to_owned(), Node::directory(owner));
            self.nodes = DIRECTORIES.iter().map(directory).collect();
        }
        if let Some(id) = self.boot.take() {
            let content = Some(Bytes::from(id + "\n"));
            let node = Node { content, mode: 0o444, ..Node::file("root") };
            self.nodes.insert(BOOT_ID.to_owned(), node);
        }
    }

    /// The tree of a sandbox that has ended: nothing can be written to it.
    pub(super) fn closed() -> Self {
        Self { closed: true, ..Self::default() }
    }

    /// Notes changes from now on, or no longer.
    pub(super) fn note_changes(&mut self, wanted: bool) {
        self.changes = wanted.then(|| self.changes.take().unwrap_or_default());
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<(Change, String)> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, change: Change, path: &str) {
        if let Some(changes) = &mut self.changes {
            changes.push((change, path.to_owned()));
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Sets how much may be used.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.allowed = if self.closed { 0 } else { bytes };
    }

    pub(super) fn read(&self, path: &str) -> Result<Bytes, FileError> {
        self.look(path)?.content.clone().ok_or(FileError::IsDirectory)
    }

    pub(super) fn entry(&self, path: &str) -> Result<Entry, FileError> {
        Ok(self.look(path)?.entry(path))
    }

    pub(super) fn list(&self, path: &str, depth: usize) -> Result<Vec<Entry>, FileError> {
        if self.look(path)?.content.is_some() {
            return Err(FileError::NotDirectory);
        }
        let prefix = inside(path);
        let near = |below: &str| below[prefix.len()..].split('/').count() <= depth;
        let found = self.below(&prefix).filter(|(path, _)| near(path));
        Ok(found.map(|(path, node)| node.entry(path)).collect())
    }

    /// Makes the directories above a path.
    pub(super) fn make_parents(
        &mut self,
        path: &str,
        owner: Owner<'_>,
    ) -> Result<&mut Self, FileError> {
        let parent = parent(path);
        match self.look(parent) {
            Ok(node) if node.content.is_none() => return Ok(self),
            Ok(_) => return Err(FileError::NotDirectory),
            Err(FileError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let ends = parent.match_indices('/').skip(1).map(|(at, _)| at).chain([parent.len()]);
        for end in ends {
            match self.make_directory(&parent[..end], owner) {
                Err(FileError::Exists) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self)
    }

    /// Makes sure that a path lies in a directory.
    pub(super) fn in_directory(&mut self, path: &str) -> Result<&mut Self, FileError> {
        match self.look(parent(path))?.content {
            None => Ok(self),
            Some(_) => Err(FileError::NotDirectory),
        }
    }

    pub(super) fn make_directory(&mut self, path: &str, owner: Owner<'_>) -> Done {
        self.in_directory(path)?;
        if self.nodes.contains_key(path) {
            return Err(FileError::Exists);
        }
        self.charge(cost(path))?;
        self.nodes.insert(path.to_owned(), Node::directory(owner.name));
        self.note_made(path, owner);
        Ok(())
    }

    fn note_made(&mut self, path: &str, owner: Owner<'_>) {
        self.note(Change::Create, path);
        if owner.given {
            self.note(Change::Chmod, path);
        }
    }

    /// Replaces what a file holds, and its metadata if there is some given.
    pub(super) fn write(
        &mut self,
        path: &str,
        content: Bytes,
        owner: Owner<'_>,
        metadata: Option<Metadata>,
    ) -> Done {
        let before = match self.nodes.get(path) {
            Some(Node { content: None, .. }) => return Err(FileError::IsDirectory),
            Some(node) => Some((node.held(), node.metadata.clone())),
            None => None,
        };
        let is_new = before.is_none();
        let (held, kept) = before.unwrap_or_default();
        let node = Node {
            // A slice would keep the whole request in memory that it came with.
            content: Some(Bytes::copy_from_slice(&content)),
            metadata: metadata.unwrap_or(kept),
            ..Node::file(owner.name)
        };
        let needed = node.held() + if is_new { cost(path) } else { 0 };
        self.charge(needed.saturating_sub(held))?;
        self.used = self.used.saturating_sub(held.saturating_sub(needed));
        match self.nodes.get_mut(path) {
            Some(before) => {
                (before.content, before.metadata) = (node.content, node.metadata);
                before.modified = node.modified;
            }
            None => drop(self.nodes.insert(path.to_owned(), node)),
        }
        if is_new {
            self.note_made(path, owner);
        } else if owner.given {
            self.note(Change::Chmod, path);
        }
        // That what was there is gone is a change too.
        if !content.is_empty() || !is_new {
            self.note(Change::Write, path);
        }
        Ok(())
    }

    pub(super) fn append(&mut self, path: &str, more: &[u8], owner: Owner<'_>) -> Done {
        self.in_directory(path)?;
        let is_new = !self.nodes.contains_key(path);
        match self.nodes.get(path) {
            Some(Node { content: None, .. }) => return Err(FileError::IsDirectory),
            Some(_) => self.charge(more.len() as u64)?,
            None => self.charge(cost(path) + more.len() as u64)?,
        }
        let node = self.nodes.entry(path.to_owned()).or_insert_with(|| Node::file(owner.name));
        let before = node.content.take().unwrap_or_default();
        // What has no other reader at the moment grows where it is.
        let mut whole = before.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        whole.extend_from_slice(more);
        node.content = Some(whole.freeze());
        node.modified = clock::now();
        if is_new {
            self.note_made(path, owner);
        }
        if !more.is_empty() {
            self.note(Change::Write, path);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> Done {
        if path == "/" {
            return Err(FileError::Invalid);
        }
        self.look(path)?;
        let prefix = inside(path);
        let mut gone: Vec<String> = self.below(&prefix).map(|(path, _)| path.clone()).collect();
        gone.insert(0, path.to_owned());
        // What is in a directory goes before it.
        for path in gone.into_iter().rev() {
            self.take_out(&path);
            self.note(Change::Remove, &path);
        }
        Ok(())
    }

    fn take_out(&mut self, path: &str) {
        if let Some(node) = self.nodes.remove(path) {
            self.release(path, &node);
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Done {
        let moved_is_directory = self.look(from)?.content.is_none();
        if from == to {
            return Ok(());
        }
        if from == "/" || to == "/" || to.starts_with(&inside(from)) {
            return Err(FileError::Invalid);
        }
        match self.look(to).map(|there| there.content.is_none()) {
            Ok(true) if !moved_is_directory => return Err(FileError::IsDirectory),
            Ok(true) if self.below(&inside(to)).next().is_some() => {
                return Err(FileError::NotEmpty);
            }
            Ok(false) if moved_is_directory => return Err(FileError::NotDirectory),
            // What is replaced is no change of its own.
            Ok(_) => self.take_out(to),
            Err(_) => {}
        }
        let prefix = inside(from);
        let mut moved: Vec<String> = self.below(&prefix).map(|(path, _)| path.clone()).collect();
        moved.push(from.to_owned());
        let longer = to.len().saturating_sub(from.len()) as u64 * moved.len() as u64;
        self.charge(longer)?;
        let shorter = from.len().saturating_sub(to.len()) as u64 * moved.len() as u64;
        self.used = self.used.saturating_sub(shorter);
        for path in moved {
            if let Some(node) = self.nodes.remove(&path) {
                self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        self.note(Change::Rename, from);
        self.note(Change::Create, to);
        Ok(())
    }

    fn look(&self, path: &str) -> Result<&Node, FileError> {
        if let Some(node) = self.nodes.get(path) {
            return Ok(node);
        }
        // What would lie in a file is not there for another reason.
        let mut above = parent(path);
        loop {
            match self.nodes.get(above) {
                Some(node) if node.content.is_some() => return Err(FileError::NotDirectory),
                Some(_) => return Err(FileError::NotFound),
                None if above == "/" => return Err(FileError::NotFound),
                None => above = parent(above),
            }
        }
    }

    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let start = (Bound::Excluded(prefix), Bound::Unbounded);
        let range = self.nodes.range::<str, _>(start);
        range.take_while(move |(path, _)| path.starts_with(prefix))
    }

    fn charge(&mut self, bytes: u64) -> Done {
        if bytes > 0 && self.used + bytes > self.allowed {
            return Err(FileError::NoSpace);
        }
        self.used += bytes;
        Ok(())
    }

    fn release(&mut self, path: &str, node: &Node) {
        // The directories that a sandbox begins with cost nothing.
        self.used = self.used.saturating_sub(cost(path) + node.held());
    }
}

fn cost(path: &str) -> u64 {
    path.len() as u64 + ENTRY_COST
}

/// What the paths of all that is in a directory begin with.
fn inside(path: &str) -> String {
    if path == "/" { String::from("/") } else { format!("{path}/") }
}

impl Node {
    fn directory(owner: &str) -> Self {
        Self { content: None, mode: 0o755, ..Self::file(owner) }
    }

    fn file(owner: &str) -> Self {
        Self {
            content: Some(Bytes::new()),
            mode: 0o644,
            owner: owner.to_owned(),
            modified: clock::now(),
            metadata: Metadata::new(),
        }
    }

    /// How many bytes it holds.
    fn held(&self) -> u64 {
        let metadata = self.metadata.iter().map(|(key, value)| key.len() + value.len());
        (self.content.as_ref().map_or(0, Bytes::len) + metadata.sum::<usize>()) as u64
    }

    fn entry(&self, path: &str) -> Entry {
        let (kind, size) = match &self.content {
            Some(content) => (Kind::File, content.len() as u64),
            None => (Kind::Directory, 4_096),
        };
        let (mode, owner, modified) = (self.mode, self.owner.clone(), self.modified);
        let metadata = self.metadata.clone();
        Entry { path: path.to_owned(), kind, size, mode, owner, metadata, modified }
    }
}
