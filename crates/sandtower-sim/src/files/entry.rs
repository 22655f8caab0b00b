//! What is known of a file, and why something cannot be done with one.

use std::fmt;

use super::*;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// What is known of a file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// How many bytes it holds; of a directory always 4096.
    pub size: u64,
    /// Its permissions, as `chmod` takes them.
    pub mode: u32,
    /// Whose it is.
    pub owner: String,
    /// Its own metadata, as it was uploaded with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was last changed.
    pub(crate) modified: Instant,
}

impl Entry {
    /// Its name: the last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((_, "")) | None => "/",
            Some((_, name)) => name,
        }
    }

    /// Its kind and permissions as `ls -l` shows them.
    #[must_use]
    pub fn permissions(&self) -> String {
        let kind = if self.kind == Kind::Directory { 'd' } else { '-' };
        let bits = (0..9).rev().zip("rwxrwxrwx".chars());
        let bits = bits.map(|(bit, sign)| if self.mode >> bit & 1 == 1 { sign } else { '-' });
        std::iter::once(kind).chain(bits).collect()
    }
}

/// Why something could not be done with a file. What it displays is what Linux says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// There is nothing of that name.
    NotFound,
    /// There is something of that name already.
    Exists,
    /// It is a directory.
    IsDirectory,
    /// It is no directory, or something above it is none.
    NotDirectory,
    /// A directory that is not empty is in the way.
    NotEmpty,
    /// It cannot be: the root is removed, a directory is moved into itself, a path has a NUL.
    Invalid,
    /// A name or the whole path is too long.
    NameTooLong,
    /// The disk is full.
    NoSpace,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::Exists => "file exists",
            Self::IsDirectory => "is a directory",
            Self::NotDirectory => "not a directory",
            Self::NotEmpty => "directory not empty",
            Self::Invalid => "invalid argument",
            Self::NameTooLong => "file name too long",
            Self::NoSpace => "no space left on device",
        })
    }
}

impl std::error::Error for FileError {}
