use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::api::marks::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY};

/// The body of a raw request for a new sandbox. What is not understood stays as it came, to the byte.
#[derive(Clone)]
pub(crate) struct RawSandbox {
    template: String,
    metadata: Fields,
    /// All other fields.
    fields: Fields,
    secrets: Vec<String>,
}

type Fields = BTreeMap<String, Box<RawValue>>;

const METADATA: &str = "metadata";
const TEMPLATE: &str = "templateID";
const VARIABLES: &str = "envVars";

impl RawSandbox {
    /// `None`: this is not what the service takes for a new sandbox, or it has marks of its sender's own:
    /// a client of ours tracks its creations itself.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields: Fields = serde_json::from_slice(body).ok()?;
        let metadata: Option<Fields> = match fields.remove(METADATA) {
            Some(metadata) => serde_json::from_str(metadata.get()).ok()?,
            None => None,
        };
        let template = serde_json::from_str(fields.get(TEMPLATE)?.get()).ok()?;
        let metadata = metadata.unwrap_or_default();
        if metadata.keys().any(|key| [CALL_KEY, ATTEMPT_KEY, OWNER_KEY].contains(&key.as_str())) {
            return None;
        }
        let variables = fields.get(VARIABLES).and_then(|all| serde_json::from_str(all.get()).ok());
        let secrets: BTreeMap<String, String> = variables.unwrap_or_default();
        Some(Self { template, metadata, fields, secrets: secrets.into_values().collect() })
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// In seconds.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        serde_json::from_str(self.fields.get("timeout")?.get()).ok()
    }

    pub(crate) fn with_template(mut self, template: String) -> Self {
        set(&mut self.fields, TEMPLATE, &template);
        Self { template, ..self }
    }

    /// Adds a pair to its metadata.
    pub(crate) fn metadata(mut self, key: &str, value: &str) -> Self {
        set(&mut self.metadata, key, value);
        self
    }

    /// What of it must not be shown: the values of environment variables.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

impl Serialize for RawSandbox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(METADATA, &self.metadata)?;
        map.end()
    }
}

fn set(fields: &mut Fields, key: &str, value: &str) {
    // Any string can be written as JSON.
    if let Ok(value) = serde_json::value::to_raw_value(value) {
        fields.insert(key.to_owned(), value);
    }
}

/// Environment variables may be secrets: only the names of fields are shown.
impl std::fmt::Debug for RawSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawSandbox")
            .field("template", &self.template)
            .field("metadata", &self.metadata.keys().collect::<Vec<_>>())
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(raw: &RawSandbox) -> String {
        serde_json::to_string(raw).unwrap()
    }

    #[test]
    fn what_is_not_understood_stays_to_the_byte() {
        let body = br#"{ "templateID": "base", "timeout": 60, "new": {"b": 1.10, "a": 12345678901234567890123},
            "metadata": {"user": "\u0075-1"} }"#;
        let raw = RawSandbox::parse(body).unwrap();
        assert_eq!((raw.template(), raw.lifetime()), ("base", Some(60)));
        let marked = raw.metadata("sandtower_call", "c\"1").with_template("other".to_owned());
        assert_eq!(
            written(&marked),
            r#"{"new":{"b": 1.10, "a": 12345678901234567890123},"templateID":"other","timeout":60,"metadata":{"sandtower_call":"c\"1","user":"\u0075-1"}}"#
        );
    }

    #[test]
    fn metadata_may_be_missing_or_null() {
        for body in [r#"{"templateID":"base"}"#, r#"{"templateID":"base","metadata":null}"#] {
            let raw = RawSandbox::parse(body.as_bytes()).unwrap().metadata("a", "b");
            assert_eq!(written(&raw), r#"{"templateID":"base","metadata":{"a":"b"}}"#);
        }
    }

    #[test]
    fn what_the_service_would_not_take_is_left_to_it() {
        for body in [
            "",
            "[]",
            "{",
            r#"{"metadata":{}}"#,
            r#"{"templateID":1}"#,
            r#"{"templateID":"base","metadata":[]}"#,
            r#"{"templateID":"base"} x"#,
        ] {
            assert!(RawSandbox::parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn what_its_sender_tracks_is_left_to_its_sender() {
        let body = br#"{"templateID":"base","metadata":{"sandtower_call":"c"}}"#;
        assert!(RawSandbox::parse(body).is_none());
    }

    #[test]
    fn debug_shows_no_value() {
        let body = br#"{"templateID":"base","envVars":{"KEY":"s3cr3t"},"metadata":{"a":"s3cr3t"}}"#;
        let raw = RawSandbox::parse(body).unwrap();
        assert_eq!(raw.secrets(), ["s3cr3t"]);
        assert!(!format!("{raw:?}").contains("s3cr3t"));
    }
}
