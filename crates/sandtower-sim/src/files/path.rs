//! Paths in a sandbox.

use super::*;

/// The longest path and the longest name in it, in bytes, as Linux has them.
const MAX_PATH: usize = 4_096;
const MAX_NAME: usize = 255;

/// The users that there are, with their home directories.
const USERS: &[(&str, &str)] = &[("root", "/root"), ("user", "/home/user")];

/// A user's home directory; of a user that is unknown, the root.
pub(crate) fn home(user: &str) -> &'static str {
    USERS.iter().find(|(name, _)| *name == user).map_or("/", |(_, home)| home)
}

/// Whether there is such a user.
pub(crate) fn is_user(name: &str) -> bool {
    USERS.iter().any(|(user, _)| *user == name)
}

/// The path without `.`, `..`, doubled and trailing slashes; it begins with a slash.
pub(super) fn clean(path: &str) -> Result<String, FileError> {
    if path.contains('\0') {
        return Err(FileError::Invalid);
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name if name.len() > MAX_NAME => return Err(FileError::NameTooLong),
            name => names.push(name),
        }
    }
    let cleaned = format!("/{}", names.join("/"));
    if cleaned.len() > MAX_PATH { Err(FileError::NameTooLong) } else { Ok(cleaned) }
}

/// The directory that a clean path lies in; the root lies in itself.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_never_leave_the_root() {
        for (path, cleaned) in [
            ("/a//b/./c/", "/a/b/c"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/../..", "/"),
            ("", "/"),
            ("a", "/a"),
        ] {
            assert_eq!(clean(path).unwrap(), cleaned, "{path}");
        }
        assert_eq!(clean("/a\0"), Err(FileError::Invalid));
        assert_eq!(clean(&"a".repeat(256)), Err(FileError::NameTooLong));
        assert_eq!(clean(&"/a".repeat(3_000)), Err(FileError::NameTooLong));
        assert_eq!((parent("/a/b"), parent("/a"), parent("/")), ("/a", "/", "/"));
    }
}
