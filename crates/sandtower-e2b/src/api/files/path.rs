use std::fmt::Write as _;

use crate::api::list::encode;

/// A path in a sandbox, and the user on whose behalf it is accessed.
///
/// A path that does not begin with `/` is relative to the user's home directory.
///
/// ```
/// use sandtower_e2b::RemotePath;
///
/// let mine = RemotePath::from("notes.txt");
/// let theirs = RemotePath::from("/etc/hosts").user("root");
/// # let _ = (mine, theirs);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath {
    pub(crate) path: String,
    pub(crate) user: Option<String>,
}

impl RemotePath {
    /// Accesses the path as this user instead of the default one.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// The query of a request for the whole file.
    pub(crate) fn query(&self) -> String {
        let mut query = format!("/files?path={}", encode(&self.path));
        if let Some(user) = &self.user {
            // Writing to a `String` cannot fail.
            let _ = write!(query, "&username={}", encode(user));
        }
        query
    }
}

impl<T: Into<String>> From<T> for RemotePath {
    fn from(path: T) -> Self {
        Self { path: path.into(), user: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_encoded() {
        assert_eq!(
            RemotePath::from("/tmp/a b&c?.txt").query(),
            "/files?path=%2Ftmp%2Fa%20b%26c%3F.txt"
        );
        assert_eq!(RemotePath::from("é").user("a&b").query(), "/files?path=%C3%A9&username=a%26b",);
    }
}
