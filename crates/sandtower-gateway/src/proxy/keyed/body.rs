//! The bodies of requests with a virtual key.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sandtower::e2b::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, POOL_KEY};
use serde_json::value::{RawValue, to_raw_value};

use crate::proxy::failure::Failure;
use crate::proxy::listing::KEY_MARK;
use crate::virtual_keys::KeyId;

/// A JSON object, each field once; what is not understood stays as it came.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

/// The fields on which a limit depends.
const COUNTED: [&str; 4] = ["templateID", "metadata", "timeout", "duration"];

impl Fields {
    /// An empty body is an empty object.
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        let invalid = |message| Failure::of_request(StatusCode::BAD_REQUEST, message);
        let fields: BTreeMap<String, Box<RawValue>> = match body {
            [] => BTreeMap::new(),
            body => serde_json::from_slice(body)
                .map_err(|_| invalid("the body of the request must be a JSON object"))?,
        };
        // The service reads names of fields in any case: it must not find another value than is checked.
        let is_other = |name: &str| {
            COUNTED.iter().any(|field| name != *field && name.eq_ignore_ascii_case(field))
        };
        match fields.keys().any(|name| is_other(name)) {
            true => {
                Err(invalid("the names of fields must be written as in E2B's API: `templateID`"))
            }
            false => Ok(Self(fields)),
        }
    }

    pub(super) fn template(&self) -> Option<String> {
        serde_json::from_str(self.0.get("templateID")?.get()).ok()
    }

    /// A number of seconds; `None`: it is not there, or is none.
    pub(super) fn seconds(&self, field: &str) -> Option<Duration> {
        let seconds = serde_json::from_str(self.0.get(field)?.get()).ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Marks a new sandbox as one of the key. Returns whether its sender tracks it itself.
    ///
    /// It cannot be marked as one of a warm pool: a sandbox that a caller has prepared would be given to
    /// another one.
    pub(super) fn mark(&mut self, key: KeyId) -> Result<bool, Failure> {
        let invalid = |_| {
            Failure::of_request(
                StatusCode::BAD_REQUEST,
                "`metadata` must be a JSON object of texts",
            )
        };
        let metadata = self.0.get("metadata").map_or("null", |metadata| metadata.get());
        let metadata: Option<BTreeMap<String, Box<RawValue>>> =
            serde_json::from_str(metadata).map_err(invalid)?;
        let mut metadata = metadata.unwrap_or_default();
        let is_tracked =
            [CALL_KEY, ATTEMPT_KEY, OWNER_KEY].iter().any(|mark| metadata.contains_key(*mark));
        metadata.remove(POOL_KEY);
        let mark = to_raw_value(&key.to_string()).map_err(invalid)?;
        metadata.insert(KEY_MARK.to_owned(), mark);
        self.0.insert("metadata".to_owned(), to_raw_value(&metadata).map_err(invalid)?);
        Ok(is_tracked)
    }

    pub(super) fn into_bytes(self) -> Bytes {
        // Texts and raw values have a JSON.
        serde_json::to_vec(&self.0).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sandbox_is_marked_whatever_its_sender_says() {
        let id: KeyId = "00000000000000ff".parse().unwrap();
        let marked = |body: &str| {
            let mut fields = Fields::read(body.as_bytes()).unwrap();
            let is_tracked = fields.mark(id).unwrap();
            (String::from_utf8(fields.into_bytes().to_vec()).unwrap(), is_tracked)
        };
        let expected = r#"{"metadata":{"sandtower_key":"00000000000000ff"},"x":1.50}"#;
        assert_eq!(marked(r#"{"x":1.50}"#), (expected.to_owned(), false));
        assert_eq!(
            marked(r#"{"metadata":{"sandtower_key":"theirs"},"x":1.50}"#),
            (expected.to_owned(), false)
        );
        assert_eq!(marked(r#"{"metadata":null,"x":1.50}"#), (expected.to_owned(), false));
        let planted = r#"{"metadata":{"sandtower_pool":"0123.300.abcd"},"x":1.50}"#;
        assert_eq!(marked(planted), (expected.to_owned(), false));
        let (_, is_tracked) = marked(r#"{"metadata":{"sandtower_call":"c"}}"#);
        assert!(is_tracked);
    }

    #[test]
    fn what_the_service_may_read_otherwise_is_rejected() {
        for body in [
            "[]",
            "{",
            "1",
            r#"{"templateID":"a","templateid":"b"}"#,
            r#"{"TIMEOUT":86400}"#,
            r#"{"Metadata":{}}"#,
        ] {
            assert_eq!(Fields::read(body.as_bytes()).unwrap_err().status, 400, "{body}");
        }
        let mut fields = Fields::read(br#"{"metadata":[]}"#).unwrap();
        assert!(fields.mark("00000000000000ff".parse().unwrap()).is_err());
        // The last of two is the one that counts, and the only one that is sent.
        let twice = Fields::read(br#"{"templateID":"a","templateID":"b"}"#).unwrap();
        assert_eq!(twice.template().as_deref(), Some("b"));
        assert_eq!(&twice.into_bytes()[..], br#"{"templateID":"b"}"#);
    }

    #[test]
    fn seconds_are_whole_numbers() {
        let fields = Fields::read(br#"{"timeout":60,"duration":-1,"x":"5"}"#).unwrap();
        assert_eq!(fields.seconds("timeout"), Some(Duration::from_secs(60)));
        assert_eq!(fields.seconds("duration"), None);
        assert_eq!(fields.seconds("x"), None);
        assert!(Fields::read(b"").unwrap().template().is_none());
    }
}
