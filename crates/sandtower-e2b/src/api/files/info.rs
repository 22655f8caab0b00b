use serde::{Deserialize, Deserializer};

use crate::api::lenient::{null_is_empty, odd_is_absent};

/// Metadata of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileInfo {
    /// The name, without directories.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub name: String,
    /// The full path.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub path: String,
    /// The type.
    #[serde(default, rename = "type", deserialize_with = "odd_is_absent")]
    pub kind: FileKind,
    /// The length in bytes.
    #[serde(default, deserialize_with = "number")]
    pub size: u64,
    /// The permissions, as the bits of `chmod`.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub mode: u32,
    /// The permissions as text, such as `-rw-r--r--`.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub permissions: String,
    /// The owner.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub owner: String,
    /// The group.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub group: String,
    /// The time of the last change, in RFC 3339.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub modified_time: Option<String>,
    /// The target, if it is a symbolic link.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub symlink_target: Option<String>,
}

/// The type of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    #[serde(rename = "FILE_TYPE_FILE")]
    File,
    /// A directory.
    #[serde(rename = "FILE_TYPE_DIRECTORY")]
    Directory,
    /// A symbolic link.
    #[serde(rename = "FILE_TYPE_SYMLINK")]
    Symlink,
    /// Something else, or unknown.
    #[default]
    #[serde(other)]
    Other,
}

/// A response about one file.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) entry: FileInfo,
}

/// A response about the entries of a directory. For an empty directory the field is absent.
#[derive(Debug, Deserialize)]
pub(crate) struct Entries {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) entries: Vec<FileInfo>,
}

/// Protocol buffers encode 64-bit numbers as text in JSON. Anything else counts as absent.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(text) => text.parse().unwrap_or_default(),
        number => number.as_u64().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_entries_are_read() {
        let recorded = r#"{"entries":[{"name":"hello.txt","type":"FILE_TYPE_FILE","path":"/tmp/hello.txt",
            "size":"12","mode":420,"permissions":"-rw-r--r--","owner":"root","group":"root",
            "modifiedTime":"2026-11-22T03:50:16.973603728Z"}]}"#;
        let Entries { entries } = serde_json::from_str(recorded).unwrap();
        let [file] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((file.kind, file.size, file.mode), (FileKind::File, 12, 0o644));
        assert_eq!((file.name.as_str(), file.owner.as_str()), ("hello.txt", "root"));
        assert!(serde_json::from_str::<Entries>("{}").unwrap().entries.is_empty());
    }

    #[test]
    fn unknown_fields_do_not_fail_a_listing() {
        let Entry { entry } =
            serde_json::from_str(r#"{"entry":{"type":"FILE_TYPE_SOCKET","size":3}}"#).unwrap();
        assert_eq!((entry.kind, entry.size), (FileKind::Other, 3));
    }
}
