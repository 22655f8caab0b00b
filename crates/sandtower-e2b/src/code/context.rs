use serde::Deserialize;

/// Where code runs: what it sets is still there for what runs next.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// Its id, for [`Code::context`](crate::Code::context).
    pub id: String,
    /// The language that it understands.
    #[serde(default)]
    pub language: String,
    /// Its working directory.
    #[serde(default)]
    pub cwd: String,
}
