use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Virtual keys, and the keys of the service that they are sent on as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Keys {
    /// Whether the callers' own keys of the service work as well.
    pub pass_through: bool,
    /// The database in which keys and what they have used are kept. Left out, they are kept in memory, and
    /// lost at a restart.
    pub store: Option<PathBuf>,
    /// A file with keys that are there after each start and reload.
    pub file: Option<PathBuf>,
    /// The keys of the service, by name.
    pub upstream: BTreeMap<String, UpstreamKey>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { pass_through: true, store: None, file: None, upstream: BTreeMap::new() }
    }
}

/// Where a key of the service is: either an environment variable or a file. It is read again at each
/// reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamKey {
    /// The name of an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file with nothing but the key in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}
