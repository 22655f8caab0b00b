use serde::{Deserialize, Deserializer};

use crate::api::lenient::{null_is_empty, odd_is_absent};

/// What is known of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileInfo {
    /// Its name, without the directories it is in.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub name: String,
    /// Its whole path.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub path: String,
    /// What it is.
    #[serde(default, rename = "type", deserialize_with = "odd_is_absent")]
    pub kind: FileKind,
    /// Its length in bytes.
    #[serde(default, deserialize_with = "number")]
    pub size: u64,
    /// Who may do what with it, as the bits of `chmod`.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub mode: u32,
    /// The same in words, such as `-rw-r--r--`.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub permissions: String,
    /// The user who has it.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub owner: String,
    /// The group who has it.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub group: String,
    /// When it was last changed, as RFC 3339 has it.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub modified_time: Option<String>,
    /// Where it leads, if it is a symbolic link.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub symlink_target: Option<String>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum FileKind {
    /// A file.
    #[serde(rename = "FILE_TYPE_FILE")]
    File,
    /// A directory.
    #[serde(rename = "FILE_TYPE_DIRECTORY")]
    Directory,
    /// A symbolic link.
    #[serde(rename = "FILE_TYPE_SYMLINK")]
    Symlink,
    /// Something else, or envd did not say.
    #[default]
    #[serde(other)]
    Other,
}

/// A response about one file.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) entry: FileInfo,
}

/// A response about what is in a directory. Without anything in it, the field is not there.
#[derive(Debug, Deserialize)]
pub(crate) struct Entries {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) entries: Vec<FileInfo>,
}

/// The JSON of protocol buffers writes numbers of 64 bits as text. What is neither is absent.
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
    fn what_is_new_does_not_fail_a_listing() {
        let Entry { entry } =
            serde_json::from_str(r#"{"entry":{"type":"FILE_TYPE_SOCKET","size":3}}"#).unwrap();
        assert_eq!((entry.kind, entry.size), (FileKind::Other, 3));
    }
}
