use serde::Deserialize;

use crate::api::lenient::odd_is_absent;

/// Where code runs: what it sets is still there for what runs next.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// Its id, for [`Code::context`](crate::Code::context).
    pub id: String,
    /// The language that it understands.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub language: String,
    /// Its working directory.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub cwd: String,
}
