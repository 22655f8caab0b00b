use serde::{Deserialize, Serialize};

use crate::CallId;
use crate::api::lenient::{null_is_empty, odd_is_absent};

/// Which process of a sandbox.
///
/// ```
/// use sandtower_e2b::Selector;
///
/// let (by_number, by_name) = (Selector::from(28), Selector::tag("build"));
/// # let _ = (by_number, by_name);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Selector {
    /// The one of this number.
    Pid(u32),
    /// The one that was started under this name: the id of the call that started it, unless the
    /// [command](crate::Command::tag) had another.
    Tag(String),
}

impl Selector {
    /// The one that was started under this name.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::Tag(tag.into())
    }
}

impl From<u32> for Selector {
    fn from(pid: u32) -> Self {
        Self::Pid(pid)
    }
}

impl From<CallId> for Selector {
    fn from(call: CallId) -> Self {
        Self::Tag(call.to_string())
    }
}

/// A process that runs in a sandbox. What it was started with is not kept: it may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its number.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub pid: u32,
    /// The name it was started under.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub tag: Option<String>,
}

/// The response of `Process/List`.
#[derive(Debug, Deserialize)]
pub(crate) struct Processes {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) processes: Vec<ProcessInfo>,
}
