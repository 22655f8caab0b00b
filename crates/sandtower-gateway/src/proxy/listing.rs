//! What the control plane says of sandboxes, without the marks that the gateway has written on them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use sandtower::e2b::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, POOL_KEY, SandboxId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::virtual_keys::KeyId;

/// The metadata key for the virtual key that a sandbox was created with: a
/// [`KeyId`](crate::virtual_keys::KeyId).
pub(crate) const KEY_MARK: &str = "sandtower_key";

/// What is looked at of a sandbox, where it is in the body.
#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow, default, deserialize_with = "as_it_is", rename = "sandboxID")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_is")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_is")]
    domain: Option<&'a RawValue>,
}

/// Also if it is `null`.
fn as_it_is<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// A part of the body, and what takes its place.
type Edit = (Range<usize>, String);

/// One sandbox, or a list of them: everything but what is replaced stays as it came.
///
/// Returns the body to show, if it is another one, and the sandboxes in it.
pub(super) fn rewrite(
    body: &[u8],
    owner: &str,
    domain: Option<&str>,
) -> (Option<Bytes>, Vec<SandboxId>) {
    let domain = domain.map(|domain| serde_json::Value::from(domain).to_string());
    let (mut ids, mut edits) = (Vec::new(), Vec::new());
    if body.trim_ascii_start().first() == Some(&b'[') {
        let all: Vec<Described<'_>> = serde_json::from_slice(body).unwrap_or_default();
        for one in &all {
            rewrite_one(one, body, owner, domain.as_deref(), &mut ids, &mut edits);
        }
    } else if let Ok(one) = serde_json::from_slice::<Described<'_>>(body)
        && rewrite_one(&one, body, owner, domain.as_deref(), &mut ids, &mut edits).is_some()
        && one.domain.is_none()
        && let Some(domain) = &domain
        && let Some(open) = body.iter().position(|byte| *byte == b'{')
    {
        edits.push((open + 1..open + 1, format!("\"domain\":{domain},")));
    }
    (edited(body, edits), ids)
}

/// `None`: it is no sandbox.
fn rewrite_one(
    one: &Described<'_>,
    body: &[u8],
    owner: &str,
    domain: Option<&str>,
    ids: &mut Vec<SandboxId>,
    edits: &mut Vec<Edit>,
) -> Option<()> {
    ids.push(serde_json::from_str(one.id?.get()).ok()?);
    if let Some(metadata) = one.metadata
        && let Some(unmarked) = without_marks(metadata, owner)
    {
        edits.push((place(metadata, body), unmarked));
    }
    if let Some((before, domain)) = one.domain.zip(domain) {
        edits.push((place(before, body), domain.to_owned()));
    }
    Some(())
}

/// Where a value is in the body that it was read from.
fn place(value: &RawValue, body: &[u8]) -> Range<usize> {
    let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + value.get().len()
}

/// `None`: nothing was changed.
fn edited(body: &[u8], mut edits: Vec<Edit>) -> Option<Bytes> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_unstable_by_key(|(place, _)| place.start);
    let mut shown = Vec::with_capacity(body.len());
    let mut from = 0;
    for (place, text) in edits {
        shown.extend_from_slice(&body[from..place.start]);
        shown.extend_from_slice(text.as_bytes());
        from = place.end;
    }
    shown.extend_from_slice(&body[from..]);
    Some(shown.into())
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// `None`: it has no marks of this owner, nor that of a virtual key.
fn without_marks(metadata: &RawValue, owner: &str) -> Option<String> {
    let mut metadata: BTreeMap<Text<'_>, &RawValue> = serde_json::from_str(metadata.get()).ok()?;
    let is_keyed = metadata.remove(&Text::from(KEY_MARK)).is_some();
    let theirs = metadata.get(&Text::from(OWNER_KEY));
    let theirs = theirs.and_then(|owner| serde_json::from_str(owner.get()).ok());
    let is_ours = theirs.is_some_and(|theirs: Text<'_>| theirs.0 == owner);
    if is_ours {
        for key in [OWNER_KEY, CALL_KEY, ATTEMPT_KEY, POOL_KEY] {
            metadata.remove(&Text::from(key));
        }
    }
    (is_keyed || is_ours).then(|| serde_json::to_string(&metadata).ok())?
}

/// What is read of a sandbox to know whose it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Marked {
    #[serde(rename = "sandboxID")]
    pub(crate) id: SandboxId,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Box<RawValue>>>,
}

impl Marked {
    /// The virtual key that it was created with.
    pub(crate) fn key(&self) -> Option<KeyId> {
        let mark = self.metadata.as_ref()?.get(KEY_MARK)?;
        serde_json::from_str::<String>(mark.get()).ok()?.parse().ok()
    }

    /// The first version lists only those that run, and does not say so.
    pub(crate) fn is_running(&self) -> bool {
        self.state.as_deref().is_none_or(|state| state == "running")
    }
}

/// The query of a listing that asks for the sandboxes of one virtual key alone.
pub(super) fn query_of(key: KeyId, query: Option<&str>) -> String {
    // Decoded by the service twice: `metadata` is a query in a query.
    let pair = format!("{KEY_MARK}%3D{key}");
    let mut parts: Vec<String> = Vec::new();
    let mut is_there = false;
    for part in query.into_iter().flat_map(|query| query.split('&')).filter(|part| !part.is_empty())
    {
        match part.strip_prefix("metadata=") {
            Some("") => {}
            Some(filter) => {
                is_there = true;
                parts.push(format!("metadata={filter}%26{pair}"));
            }
            None => parts.push(part.to_owned()),
        }
    }
    if !is_there {
        parts.push(format!("metadata={pair}"));
    }
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str, domain: Option<&str>) -> String {
        let (shown, _) = rewrite(body.as_bytes(), "gateway", domain);
        shown.map_or_else(|| body.to_owned(), |shown| String::from_utf8(shown.to_vec()).unwrap())
    }

    #[test]
    fn marks_are_hidden_and_all_else_stays() {
        let one = r#"{"new":1.50,"metadata":{"a":"b","sandtower_call":"c","sandtower_owner":"gateway"},"sandboxID":"i0"}"#;
        let unmarked = r#"{"new":1.50,"metadata":{"a":"b"},"sandboxID":"i0"}"#;
        assert_eq!(shown(one, None), unmarked);
        assert_eq!(shown(&format!("[{one}, {one}]"), None), format!("[{unmarked}, {unmarked}]"));
        let (_, ids) = rewrite(one.as_bytes(), "gateway", None);
        assert_eq!(ids, ["i0".parse().unwrap()]);
    }

    #[test]
    fn marks_of_another_owner_are_theirs() {
        let theirs = r#"{"metadata":{"sandtower_owner":"worker-7"},"sandboxID":"i0"}"#;
        assert_eq!(shown(theirs, None), theirs);
    }

    #[test]
    fn the_mark_of_a_virtual_key_is_hidden_from_all() {
        let one = r#"{"metadata":{"a":"b","sandtower_key":"c"},"sandboxID":"i0"}"#;
        assert_eq!(shown(one, None), r#"{"metadata":{"a":"b"},"sandboxID":"i0"}"#);
    }

    #[test]
    fn the_mark_says_whose_a_sandbox_is() {
        let key = |one: &str| serde_json::from_str::<Marked>(one).ok().and_then(|one| one.key());
        let mine =
            r#"{"sandboxID":"i0","metadata":{"sandtower_key":"00000000000000ff"},"new":1.0}"#;
        assert_eq!(key(mine), "00000000000000ff".parse().ok());
        for other in [
            r#"{"sandboxID":"i1","metadata":{"sandtower_key":7}}"#,
            r#"{"sandboxID":"i2"}"#,
            r#"{"sandboxID":"i3","metadata":null}"#,
            r#"{"odd":1}"#,
            "7",
        ] {
            assert_eq!(key(other), None, "{other}");
        }
    }

    #[test]
    fn a_listing_asks_for_the_sandboxes_of_one_key_alone() {
        let key: KeyId = "00000000000000ff".parse().unwrap();
        let mark = "sandtower_key%3D00000000000000ff";
        for (query, expected) in [
            (None, format!("metadata={mark}")),
            (Some("limit=5&metadata="), format!("limit=5&metadata={mark}")),
            (Some("metadata=a%3Db&limit=5"), format!("metadata=a%3Db%26{mark}&limit=5")),
        ] {
            assert_eq!(query_of(key, query), expected);
        }
    }

    #[test]
    fn the_domain_is_the_gateways() {
        let one = r#" {"sandboxID":"i0","domain":null,"metadata":{"sandtower_owner":"gateway"}}"#;
        let moved = r#" {"sandboxID":"i0","domain":"gw.test","metadata":{}}"#;
        assert_eq!(shown(one, Some("gw.test")), moved);
        let without = r#"{"sandboxID":"i0"}"#;
        assert_eq!(shown(without, None), without);
        assert_eq!(shown(without, Some("gw.test")), r#"{"domain":"gw.test","sandboxID":"i0"}"#);
    }

    #[test]
    fn names_and_values_with_escapes_are_read() {
        let one =
            r#"{"metadata":{"a\n":"\"b","sandtower_\u006fwner":"g\u0061teway"},"sandboxID":"i0"}"#;
        assert_eq!(shown(one, None), r#"{"metadata":{"a\n":"\"b"},"sandboxID":"i0"}"#);
    }

    #[test]
    fn what_is_no_sandbox_passes() {
        let listed = r#"[{"sandboxID":"i0"}]"#;
        for body in ["", "[", "[1]", r#"{"a":1}"#, "null", r#"{"sandboxID":7}"#, listed] {
            assert_eq!(shown(body, Some("gw.test")), body);
        }
    }
}
