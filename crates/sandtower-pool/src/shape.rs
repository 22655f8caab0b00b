//! What a request for a new sandbox asks for, and which requests ask for the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sandtower_e2b::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, POOL_KEY};
use serde_json::{Map, Value};

use crate::config::ConfigError;
use crate::engine::Miss;

/// What sandboxes of one kind have in common: the body of the request that creates them, without its
/// timeout. Requests of the same shape may be served with each other's sandboxes.
///
/// It may contain secrets in `envVars`: `Debug` shows the template alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// JSON with sorted keys, without timeout, null, empty objects and marks of our own.
    canonical: Arc<str>,
    template: Arc<str>,
}

/// What one request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The shape.
    pub shape: Shape,
    /// The lifetime of the sandbox.
    pub timeout: Duration,
}

/// The paths of the two versions of E2B's API. In the first, a sandbox is not secured unless the request says so;
/// in the second it is, unless the request says otherwise.
const FIRST: &str = "/sandboxes";
const SECOND: &str = "/v2/sandboxes";
/// The timeouts of requests that set none, in the two versions.
const DEFAULT_TIMEOUTS: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(300)];
/// Metadata that differs from sandbox to sandbox, and that callers did not set. Every other key counts, those
/// of layers above too: they may find their sandboxes by it.
const OURS: [&str; 4] = [OWNER_KEY, CALL_KEY, ATTEMPT_KEY, POOL_KEY];

impl Wanted {
    /// What `body` asks for in a request to `/v2/sandboxes`.
    ///
    /// # Errors
    ///
    /// No warm sandbox can serve it.
    pub fn read(body: &[u8]) -> Result<Self, Miss> {
        Self::of(SECOND, body, None)
    }

    /// What a request to `path` asks for, but for the metadata under the key `mark`. What the body leaves out means
    /// something else in each version of the API: a sandbox that is not secured must not be given where one that
    /// is was asked for.
    pub(crate) fn of(path: &str, body: &[u8], mark: Option<&str>) -> Result<Self, Miss> {
        let mut fields: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Miss::Unreadable)?;
        let is_second = path != FIRST;
        if is_second {
            secure(&mut fields);
        }
        let timeout = match fields.get("timeout") {
            None | Some(Value::Null) => DEFAULT_TIMEOUTS[usize::from(is_second)],
            Some(timeout) => Duration::from_secs(timeout.as_u64().ok_or(Miss::Unreadable)?),
        };
        Ok(Self { shape: Shape::of(fields, mark)?, timeout })
    }
}

impl Shape {
    fn of(mut fields: Map<String, Value>, mark: Option<&str>) -> Result<Self, Miss> {
        fields.remove("timeout");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|key, _| !OURS.contains(&key.as_str()) && Some(key.as_str()) != mark);
        }
        let is_default = |name: &str, value: &Value| {
            ["autoPause", "secure"].contains(&name) && *value == Value::Bool(false)
        };
        fields.retain(|name, value| !is_absent(value) && !is_default(name, value));
        // A warm sandbox that pauses instead of ending would outlive its pool.
        let pauses = |(name, value): (&String, &Value)| {
            name == "lifecycle" || (name.starts_with("autoPause") && *value != Value::Bool(false))
        };
        if fields.iter().any(pauses) {
            return Err(Miss::Lifecycle);
        }
        let template =
            fields.get("templateID").and_then(Value::as_str).ok_or(Miss::Unreadable)?.into();
        let fields: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
        let canonical = serde_json::to_string(&fields).map_err(|_| Miss::Unreadable)?;
        Ok(Self { canonical: canonical.into(), template })
    }

    pub(crate) fn configured(body: &Map<String, Value>) -> Result<Self, ConfigError> {
        let mut fields = body.clone();
        secure(&mut fields);
        Self::of(fields, None).map_err(|miss| {
            ConfigError::Shape(match miss {
                Miss::Lifecycle => "a shape must not pause at the end of its lifetime".to_owned(),
                _ => "a shape must have a `templateID`, and be a body that creates a sandbox"
                    .to_owned(),
            })
        })
    }

    /// The template, by id or alias.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Whether requests of this shape have metadata.
    pub(crate) fn has_metadata(&self) -> bool {
        self.field("metadata").is_some()
    }

    /// Whether sandboxes of this shape have environment variables, which may be secrets.
    pub(crate) fn has_variables(&self) -> bool {
        self.field("envVars").is_some()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let fields: Map<String, Value> = serde_json::from_str(&self.canonical).ok()?;
        fields.get(name).cloned()
    }

    /// The body of a request that creates a sandbox of this shape with this lifetime.
    pub(crate) fn body(&self, lifetime: Duration) -> String {
        // It has a template, so it is not empty.
        let fields = self.canonical.strip_suffix('}').unwrap_or(&self.canonical);
        format!(r#"{fields},"timeout":{}}}"#, lifetime.as_secs())
    }

    /// A name for the metadata of its sandboxes, the same in every process. Shapes with environment
    /// variables have no name of their own, since it would tell something about their values.
    pub(crate) fn mark(&self) -> String {
        if self.has_variables() {
            return "private".to_owned();
        }
        // `DefaultHasher::new` has no random key.
        let mut hasher = DefaultHasher::new();
        self.canonical.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Says what the second version of the API means by saying nothing.
fn secure(fields: &mut Map<String, Value>) {
    if fields.get("secure").is_none_or(Value::is_null) {
        fields.insert("secure".to_owned(), Value::Bool(true));
    }
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape").field("template", &self.template).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: &str) -> Wanted {
        Wanted::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn requests_that_differ_in_order_timeout_and_marks_are_of_one_shape() {
        let plain = wanted(r#"{"templateID":"base","secure":true,"timeout":60}"#);
        assert_eq!(plain.timeout, Duration::from_secs(60));
        for body in [
            r#"{"secure":true,"templateID":"base","metadata":{},"envVars":{},"mcp":null}"#,
            r#"{"secure":true,"templateID":"base","autoPause":false,"metadata":{"sandtower_call":"1"}}"#,
        ] {
            let other = wanted(body);
            assert_eq!(other.shape, plain.shape, "{body}");
            assert_eq!(other.timeout, Duration::from_secs(300));
        }
    }

    #[test]
    fn what_is_left_out_means_what_it_does_in_that_version_of_the_api() {
        let of = |path: &str, body: &str| Wanted::of(path, body.as_bytes(), None).unwrap();
        let bare = r#"{"templateID":"base"}"#;
        let (first, second) = (of("/sandboxes", bare), of("/v2/sandboxes", bare));
        let (open, secured) =
            (r#"{"templateID":"base","secure":false}"#, r#"{"templateID":"base","secure":true}"#);
        for path in ["/sandboxes", "/v2/sandboxes"] {
            assert_eq!(of(path, open).shape, first.shape, "{path}");
            assert_eq!(of(path, secured).shape, second.shape, "{path}");
        }
        assert_ne!(first.shape, second.shape);
        assert_eq!((first.timeout, second.timeout), (DEFAULT_TIMEOUTS[0], DEFAULT_TIMEOUTS[1]));
    }

    #[test]
    fn every_other_difference_is_another_shape() {
        let base = wanted(r#"{"templateID":"base"}"#).shape;
        for body in [
            r#"{"templateID":"other"}"#,
            r#"{"templateID":"base","secure":false}"#,
            r#"{"templateID":"base","envVars":{"A":"1"}}"#,
            r#"{"templateID":"base","metadata":{"user":"1"}}"#,
            r#"{"templateID":"base","metadata":{"sandtower_key":"1"}}"#,
            r#"{"templateID":"base","network":{"allowOut":["10.0.0.0/8"]}}"#,
            r#"{"templateID":"base","unknown":1}"#,
        ] {
            assert_ne!(wanted(body).shape, base, "{body}");
        }
    }

    #[test]
    fn what_no_warm_sandbox_can_serve_says_why() {
        for (body, miss) in [
            ("", Miss::Unreadable),
            ("[]", Miss::Unreadable),
            (r#"{"timeout":60}"#, Miss::Unreadable),
            (r#"{"templateID":"base","timeout":-1}"#, Miss::Unreadable),
            (r#"{"templateID":"base","autoPause":true}"#, Miss::Lifecycle),
            (r#"{"templateID":"base","lifecycle":{"on_timeout":"pause"}}"#, Miss::Lifecycle),
        ] {
            assert_eq!(Wanted::read(body.as_bytes()), Err(miss), "{body}");
        }
    }

    #[test]
    fn its_body_creates_it_and_shows_no_secret() {
        let shape = wanted(r#"{"templateID":"base","envVars":{"KEY":"s3cr3t"}}"#).shape;
        let body = shape.body(Duration::from_secs(90));
        let all = r#"{"envVars":{"KEY":"s3cr3t"},"secure":true,"templateID":"base","timeout":90}"#;
        assert_eq!(body, all);
        assert_eq!(
            wanted(&body),
            Wanted { shape: shape.clone(), timeout: Duration::from_secs(90) }
        );
        assert!(!format!("{shape:?}{}", shape.mark()).contains("s3cr3t"));
        assert_eq!(shape.mark(), "private");
        assert_ne!(
            wanted(r#"{"templateID":"base"}"#).shape.mark(),
            wanted(r#"{"templateID":"b"}"#).shape.mark()
        );
    }
}
