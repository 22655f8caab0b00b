//! What the tree holds at a path: a file or a directory.

use super::*;
use crate::clock;

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// `None` of a directory.
    pub(super) content: Option<Bytes>,
    pub(super) mode: u32,
    pub(super) owner: String,
    pub(super) modified: Instant,
    pub(super) metadata: Metadata,
}

impl Node {
    pub(super) fn directory(owner: &str) -> Self {
        Self { content: None, mode: 0o755, ..Self::file(owner) }
    }

    pub(super) fn file(owner: &str) -> Self {
        Self {
            content: Some(Bytes::new()),
            mode: 0o644,
            owner: owner.to_owned(),
            modified: clock::now(),
            metadata: Metadata::new(),
        }
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> u64 {
        let metadata = self.metadata.iter().map(|(key, value)| key.len() + value.len());
        (self.content.as_ref().map_or(0, Bytes::len) + metadata.sum::<usize>()) as u64
    }

    pub(super) fn entry(&self, path: &str) -> Entry {
        let (kind, size) = match &self.content {
            Some(content) => (Kind::File, content.len() as u64),
            None => (Kind::Directory, 4_096),
        };
        let (mode, owner, modified) = (self.mode, self.owner.clone(), self.modified);
        let metadata = self.metadata.clone();
        Entry { path: path.to_owned(), kind, size, mode, owner, metadata, modified }
    }
}
