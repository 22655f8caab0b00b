//! Files in a sandbox.

mod info;
mod path;

pub use info::{FileInfo, FileKind};
pub use path::RemotePath;

pub(crate) use info::{Entries, Entry};
