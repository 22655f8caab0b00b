use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// The parameters of a new sandbox.
///
/// ```
/// use std::time::Duration;
/// use sandtower_e2b::NewSandbox;
///
/// let new = NewSandbox::new("base")
///     .timeout(Duration::from_secs(120))
///     .metadata("user", "u-17")
///     .env("TOKEN", "s3cr3t");
/// assert!(!format!("{new:?}").contains("s3cr3t"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewSandbox {
    #[serde(rename = "templateID")]
    template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    metadata: BTreeMap<String, String>,
    #[serde(rename = "envVars")]
    envs: BTreeMap<String, String>,
    #[serde(skip)]
    framework: Option<String>,
}

impl NewSandbox {
    /// A sandbox of `template`, by id or alias, with the service's defaults.
    pub fn new(template: impl Into<String>) -> Self {
        Self {
            template: template.into(),
            timeout: None,
            metadata: BTreeMap::new(),
            envs: BTreeMap::new(),
            framework: None,
        }
    }

    /// The lifetime, rounded up to whole seconds. The service's default is 300 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(whole_seconds(timeout));
        self
    }

    /// Adds a metadata pair, by which the sandbox can be listed.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds an environment variable for all processes in the sandbox.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// A name for the purpose of the sandbox, such as `nextjs`, for its [events](crate::Events). It is
    /// not sent to the service.
    #[must_use]
    pub fn framework(mut self, name: impl Into<String>) -> Self {
        self.framework = Some(name.into());
        self
    }

    pub(crate) fn framework_name(&self) -> Option<&str> {
        self.framework.as_deref()
    }

    pub(crate) fn with_template(self, template: impl Into<String>) -> Self {
        Self { template: template.into(), ..self }
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// The values that must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.envs.values()
    }

    pub(crate) fn metadata_keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().map(String::as_str)
    }

    /// In seconds.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        self.timeout
    }
}

pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// Environment variables may hold secrets, so only their names are shown.
impl std::fmt::Debug for NewSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSandbox")
            .field("template", &self.template)
            .field("timeout", &self.timeout)
            .field("metadata", &self.metadata)
            .field("envs", &self.envs.keys().collect::<Vec<_>>())
            .field("framework", &self.framework)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_in_e2bs_format() {
        let new = NewSandbox::new("base")
            .timeout(Duration::from_millis(119_001))
            .metadata("purpose", "test")
            .env("A", "1");
        assert_eq!(
            serde_json::to_string(&new).unwrap(),
            r#"{"templateID":"base","timeout":120,"metadata":{"purpose":"test"},"envVars":{"A":"1"}}"#,
        );
    }
}
