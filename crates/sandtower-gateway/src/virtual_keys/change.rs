use std::time::Duration;

use sandtower::core::Priority;
use serde::{Deserialize, Deserializer};

use super::limits::Limits;

/// The settings of a new key.
///
/// ```
/// use sandtower_gateway::virtual_keys::NewKey;
///
/// let mut new = NewKey::new("search");
/// new.limits.concurrent_sandboxes = Some(5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NewKey {
    /// Its name for people: 1 to 64 bytes.
    pub name: String,
    /// The name of the upstream key; `None`: the only one there is.
    #[serde(default)]
    pub upstream: Option<String>,
    /// The class of its calls in queues.
    #[serde(default)]
    pub priority: Priority,
    /// The templates that its callers may use; `None`: all.
    #[serde(default)]
    pub templates: Option<Vec<String>>,
    /// What its callers may use up; by default there are no limits.
    #[serde(default)]
    pub limits: Limits,
}

impl NewKey {
    /// A key with this name, without limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            upstream: None,
            priority: Priority::default(),
            templates: None,
            limits: Limits::default(),
        }
    }
}

/// What of a key is to change. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyChange {
    /// Its name for people.
    pub name: Option<String>,
    /// The name of the upstream key.
    pub upstream: Option<String>,
    /// The class of its calls in queues.
    pub priority: Option<Priority>,
    /// The templates that its callers may use; `Some(None)`, in JSON `null`: all.
    #[serde(deserialize_with = "present")]
    pub templates: Option<Option<Vec<String>>>,
    /// The limits that change.
    pub limits: LimitsChange,
}

/// Which limits change. `Some(None)`, in JSON `null`: there is no limit anymore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsChange {
    /// Sandboxes that run at once.
    #[serde(deserialize_with = "present")]
    pub concurrent_sandboxes: Option<Option<u64>>,
    /// Creations within any 60 seconds.
    #[serde(deserialize_with = "present")]
    pub creations_per_minute: Option<Option<u64>>,
    /// Creations of one day.
    #[serde(deserialize_with = "present")]
    pub creations_per_day: Option<Option<u64>>,
    /// The seconds that sandboxes run on one day.
    #[serde(deserialize_with = "present")]
    pub sandbox_seconds_per_day: Option<Option<u64>>,
}

impl LimitsChange {
    pub(super) fn apply(&self, limits: &mut Limits) {
        let set = |limit: &mut Option<u64>, change: Option<Option<u64>>| {
            *limit = change.unwrap_or(*limit);
        };
        set(&mut limits.concurrent_sandboxes, self.concurrent_sandboxes);
        set(&mut limits.creations_per_minute, self.creations_per_minute);
        set(&mut limits.creations_per_day, self.creations_per_day);
        set(&mut limits.sandbox_seconds_per_day, self.sandbox_seconds_per_day);
    }
}

/// A field that is there, be it `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// How a secret is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// How long the secret before lives on: not at all by default, at most 7 days.
    pub grace: Duration,
}

impl Rotation {
    /// With the secret before living on for so long.
    pub fn grace(grace: Duration) -> Self {
        Self { grace }
    }
}
