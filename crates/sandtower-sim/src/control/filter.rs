//! Query strings, and the metadata filter that is a query string inside one.

use std::collections::BTreeMap;

use crate::answer::ApiError;

/// The parameters of a query, in order, decoded once.
pub(crate) fn parameters(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| decode_pair(pair).ok_or_else(|| bad_request("query"))).collect()
}

/// What each key of the metadata must be.
///
/// The parameter, decoded once already, is decoded as a whole and split; then each key and value
/// is decoded: that is how the SDKs encode it.
pub(super) fn metadata(parameter: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let whole = decode(parameter).ok_or_else(|| bad_request("metadata"))?;
    let pairs = whole.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| decode_pair(pair).ok_or_else(|| bad_request("metadata"))).collect()
}

fn decode_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(key)?, decode(value)?))
}

/// Undoes percent encoding; `None` if it is broken or does not give UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn bad_request(what: &str) -> ApiError {
    ApiError::bad_request(format!("Error when parsing {what}: invalid URL escape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_the_official_sdk_is_understood() {
        let query = "metadata=app%3Dx%252520y%26req%3Da%252526b%25253Dc&limit=5";
        let parameters = parameters(query).unwrap();
        assert_eq!(parameters[1], ("limit".into(), "5".into()));
        let filter = metadata(&parameters[0].1).unwrap();
        let expected = [("app", "x y"), ("req", "a&b=c")];
        assert_eq!(filter, expected.map(|(k, v)| (k.into(), v.into())).into());
    }

    #[test]
    fn broken_escapes_are_refused() {
        for query in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(parameters(query).is_err(), "{query}");
        }
        assert!(metadata("a=%2541").is_ok());
        assert!(metadata("a=%25zz").is_err());
    }
}
