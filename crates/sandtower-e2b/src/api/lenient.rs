//! Lenient JSON: services send `null` or unexpected values in optional fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A list, map or object: absent or `null` means empty.
pub(crate) fn null_is_empty<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// An optional field: `null`, or a value of another type, becomes the default.
pub(crate) fn odd_is_absent<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: for<'own> Deserialize<'own> + Default,
{
    Ok(T::deserialize(Value::deserialize(from)?).unwrap_or_default())
}

/// Pairs of text. Invalid pairs are skipped, so that they do not take the others with them.
pub(crate) fn text_pairs<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(fields) = Value::deserialize(from)? else { return Ok(BTreeMap::new()) };
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(fields.into_iter().filter_map(text).collect())
}

/// A response that is a list, or `null`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct List<T>(#[serde(deserialize_with = "null_is_empty")] pub(crate) Vec<T>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::files::{Entries, Entry};
    use crate::api::process::Processes;
    use crate::{Context, Sandbox, SandboxInfo, State};

    fn of<T: for<'own> Deserialize<'own>>(json: &str) -> T {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn a_null_list_is_empty() {
        assert!(of::<List<SandboxInfo>>("null").0.is_empty());
        for json in [r#"{"entries":null}"#, "{}", r#"{"entries":[]}"#] {
            assert!(of::<Entries>(json).entries.is_empty(), "{json}");
        }
        for json in [r#"{"processes":null}"#, "{}"] {
            assert!(of::<Processes>(json).processes.is_empty(), "{json}");
        }
        assert!(of::<List<Context>>("null").0.is_empty());
    }

    #[test]
    fn an_invalid_optional_field_is_absent_and_fails_nothing_else() {
        let odd = [
            r#""metadata":null"#,
            r#""metadata":7"#,
            r#""metadata":{"a":1}"#,
            r#""cpuCount":0.5"#,
            r#""cpuCount":"two""#,
            r#""cpuCount":-1"#,
            r#""memoryMB":null"#,
            r#""memoryMB":1e99"#,
            r#""state":null"#,
            r#""state":3"#,
            r#""state":{"is":"running"}"#,
            r#""alias":["a"]"#,
            r#""startedAt":0"#,
            r#""endAt":false"#,
        ];
        for field in odd {
            let json = format!(r#"[{{"sandboxID":"i0","templateID":"t",{field}}}]"#);
            let List::<SandboxInfo>(list) = of(&json);
            assert_eq!((list[0].id.as_str(), list[0].template.as_str()), ("i0", "t"), "{json}");
        }
        let info: SandboxInfo = of(r#"{"sandboxID":"i0","templateID":null}"#);
        assert_eq!((info.template.as_str(), info.state), ("", State::Other));
    }

    #[test]
    fn invalid_metadata_does_not_hide_the_marks_of_a_sandbox() {
        let json = r#"{"sandboxID":"i0","metadata":{"sandtower_owner":"me","x":1,"y":null}}"#;
        let metadata = of::<SandboxInfo>(json).metadata;
        assert_eq!(
            metadata.into_iter().collect::<Vec<_>>(),
            [("sandtower_owner".into(), "me".into())]
        );
    }

    #[test]
    fn an_invalid_exit_code_is_not_success() {
        let json = br#"{"event":{"end":{"exitCode":"one","exited":true}}}"#;
        let mut stream = crate::api::process::ProcessStream::default();
        stream.push(&crate::envelope::encode(json).unwrap());
        assert!(stream.next().is_err());
    }

    #[test]
    fn an_invalid_field_of_a_new_sandbox_does_not_lose_the_sandbox() {
        for field in [r#""templateID":7"#, r#""domain":[]"#, r#""envdVersion":0.6"#] {
            let sandbox: Sandbox = of(&format!(r#"{{"sandboxID":"i0",{field}}}"#));
            assert_eq!(sandbox.id().as_str(), "i0", "{field}");
        }
    }

    #[test]
    fn an_invalid_field_of_a_file_or_a_process_is_absent() {
        for field in
            [r#""size":"many""#, r#""mode":"rw""#, r#""owner":null"#, r#""type":5"#, r#""name":{}"#]
        {
            let json = format!(r#"{{"entry":{{"path":"/a",{field}}}}}"#);
            assert_eq!(of::<Entry>(&json).entry.path, "/a", "{json}");
        }
        let Processes { processes } = of(r#"{"processes":[{"pid":3,"tag":9}]}"#);
        assert_eq!((processes[0].pid, processes[0].tag.as_deref()), (3, None));
    }
}
