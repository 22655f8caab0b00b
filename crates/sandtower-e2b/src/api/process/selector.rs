use serde::{Deserialize, Serialize};

use crate::CallId;
use crate::api::lenient::{null_is_empty, odd_is_absent};

/// Selects a process in a sandbox.
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
    /// By process id.
    Pid(u32),
    /// By the name it was started under: the id of the call that started it, unless the
    /// [command](crate::Command::tag) set another.
    Tag(String),
}

impl Selector {
    /// The process that was started under this name.
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

/// A running process in a sandbox. Its command line is not kept: it may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The process id.
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
