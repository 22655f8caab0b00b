//! What the control plane says of sandboxes, without the marks that the gateway has written on them.

use std::collections::BTreeMap;

use bytes::Bytes;
use sandtower::e2b::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, SandboxId};
use serde_json::value::RawValue;

type Fields = BTreeMap<String, Box<RawValue>>;

/// One sandbox, or a list of them: everything that is not understood stays as it came.
///
/// Returns the body to show, if it is another one, and the sandboxes in it.
pub(super) fn rewrite(
    body: &[u8],
    owner: &str,
    domain: Option<&str>,
) -> (Option<Bytes>, Vec<SandboxId>) {
    let mut ids = Vec::new();
    let is_list = body.trim_ascii_start().first() == Some(&b'[');
    let changed = if is_list {
        let Ok(mut all) = serde_json::from_slice::<Vec<Fields>>(body) else { return (None, ids) };
        let changes = all.iter_mut().filter_map(|one| {
            let domain = domain.filter(|_| one.contains_key("domain"));
            rewrite_one(one, owner, domain, &mut ids)
        });
        (changes.count() > 0).then(|| serde_json::to_vec(&all))
    } else {
        let Ok(mut one) = serde_json::from_slice::<Fields>(body) else { return (None, ids) };
        rewrite_one(&mut one, owner, domain, &mut ids).map(|()| serde_json::to_vec(&one))
    };
    (changed.and_then(Result::ok).map(Bytes::from), ids)
}

/// `None`: nothing was changed.
fn rewrite_one(
    sandbox: &mut Fields,
    owner: &str,
    domain: Option<&str>,
    ids: &mut Vec<SandboxId>,
) -> Option<()> {
    let id = sandbox.get("sandboxID").and_then(|id| serde_json::from_str(id.get()).ok())?;
    ids.push(id);
    let unmarked = sandbox.get("metadata").and_then(|metadata| without_marks(metadata, owner));
    let is_marked = unmarked.is_some();
    if let Some(metadata) = unmarked {
        sandbox.insert("metadata".to_owned(), metadata);
    }
    let domain = domain.and_then(|domain| serde_json::value::to_raw_value(domain).ok());
    let is_moved = domain.is_some();
    if let Some(domain) = domain {
        sandbox.insert("domain".to_owned(), domain);
    }
    (is_marked || is_moved).then_some(())
}

/// `None`: it has no marks of this owner.
fn without_marks(metadata: &RawValue, owner: &str) -> Option<Box<RawValue>> {
    let mut metadata: Fields = serde_json::from_str(metadata.get()).ok()?;
    let theirs: String = serde_json::from_str(metadata.get(OWNER_KEY)?.get()).ok()?;
    if theirs != owner {
        return None;
    }
    for key in [OWNER_KEY, CALL_KEY, ATTEMPT_KEY] {
        metadata.remove(key);
    }
    serde_json::value::to_raw_value(&metadata).ok()
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
        let unmarked = r#"{"metadata":{"a":"b"},"new":1.50,"sandboxID":"i0"}"#;
        assert_eq!(shown(one, None), unmarked);
        assert_eq!(shown(&format!("[{one}]"), None), format!("[{unmarked}]"));
        let (_, ids) = rewrite(one.as_bytes(), "gateway", None);
        assert_eq!(ids, ["i0".parse().unwrap()]);
    }

    #[test]
    fn marks_of_another_owner_are_theirs() {
        let theirs = r#"{"metadata":{"sandtower_owner":"worker-7"},"sandboxID":"i0"}"#;
        assert_eq!(shown(theirs, None), theirs);
    }

    #[test]
    fn the_domain_is_the_gateways() {
        let one = r#"{"sandboxID":"i0","domain":null,"envdVersion":"0.6"}"#;
        let moved = r#"{"domain":"gw.test","envdVersion":"0.6","sandboxID":"i0"}"#;
        assert_eq!(shown(one, Some("gw.test")), moved);
        assert_eq!(shown(one, None), one);
    }

    #[test]
    fn what_is_no_sandbox_passes() {
        let listed = r#"[{"sandboxID":"i0"}]"#;
        for body in ["", "[", "[1]", r#"{"a":1}"#, "null", r#"{"sandboxID":7}"#, listed] {
            assert_eq!(shown(body, Some("gw.test")), body);
        }
    }
}
