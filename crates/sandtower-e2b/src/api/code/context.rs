use serde::Deserialize;

use crate::api::lenient::odd_is_absent;

/// A context of the code interpreter. Variables that code sets are visible to the code after it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// The id, for [`Code::context`](crate::Code::context).
    pub id: String,
    /// The language.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub language: String,
    /// The working directory.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub cwd: String,
}
