use std::collections::BTreeMap;

use serde::Deserialize;

use crate::SandboxId;
use crate::api::lenient::{odd_is_absent, text_pairs};

/// What the service reports about a sandbox.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SandboxInfo {
    /// The id.
    #[serde(rename = "sandboxID")]
    pub id: SandboxId,
    /// The id of the template that the sandbox was created from.
    #[serde(default, rename = "templateID", deserialize_with = "odd_is_absent")]
    pub template: String,
    /// The alias of the template.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub alias: Option<String>,
    /// The state.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub state: State,
    /// The start time, in RFC 3339.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub started_at: Option<String>,
    /// The end of the lifetime, in RFC 3339.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub end_at: Option<String>,
    /// The number of CPUs.
    #[serde(default, deserialize_with = "odd_is_absent")]
    pub cpu_count: Option<u32>,
    /// The memory in MiB.
    #[serde(default, rename = "memoryMB", deserialize_with = "odd_is_absent")]
    pub memory_mib: Option<u64>,
    /// The metadata that was set at creation.
    #[serde(default, deserialize_with = "text_pairs")]
    pub metadata: BTreeMap<String, String>,
}

/// The state of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Running.
    Running,
    /// Paused; can be resumed.
    Paused,
    /// Unknown, or not reported.
    #[default]
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_sandbox_is_read() {
        let info: SandboxInfo = serde_json::from_str(
            r#"{"templateID": "rki5", "sandboxID": "i2f83d28189c2b02077a", "clientID": "6532622b",
                "startedAt": "2026-11-22T04:01:37Z", "endAt": "2026-11-22T04:01:37Z", "cpuCount": 2,
                "memoryMB": 512, "diskSizeMB": 1024, "state": "running", "envdVersion": "0.6.13",
                "metadata": {"app": "x y"}}"#,
        )
        .unwrap();
        assert_eq!((info.state, info.memory_mib), (State::Running, Some(512)));
        assert_eq!(info.metadata["app"], "x y");
    }

    #[test]
    fn an_unknown_state_does_not_fail_the_listing() {
        assert_eq!(serde_json::from_str::<State>(r#""snapshotting""#).unwrap(), State::Other);
    }
}
