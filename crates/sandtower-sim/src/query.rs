//! Query strings, and the metadata filter that is a query string inside one.

use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::response::ApiError;

/// The parameters of a query, in order, decoded once.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query. Parameters that are not `known` are ignored, as E2B does, and logged.
    pub(crate) fn parse(raw: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| decode_pair(pair).ok_or_else(|| bad_request("query")));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        for (parameter, _) in pairs.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            tracing::warn!(parameter, "unknown query parameter ignored");
        }
        Ok(Self(pairs))
    }

    /// The last value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that is a list: repeated, or separated by commas.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(known, _)| known == name);
        values.flat_map(|(_, values)| values.split(',')).collect()
    }

    /// A parameter that is a whole number within bounds.
    pub(crate) fn number(
        &self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        let error = || ApiError::bad_request(format!("Invalid {name}: {value}"));
        number.map(Some).ok_or_else(error)
    }

    /// A parameter that is one of a few words.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            Some(word) if !words.contains(&word) => {
                Err(ApiError::bad_request(format!("Invalid {name}: {word}")))
            }
            word => Ok(word),
        }
    }
}

/// What each key of the metadata must be.
///
/// The parameter, decoded once already, is decoded as a whole and split; then each key and value
/// is decoded: that is how the SDKs encode it.
pub(crate) fn metadata(parameter: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let whole = decode(parameter).ok_or_else(|| bad_request("metadata"))?;
    let pairs = whole.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| decode_pair(pair).ok_or_else(|| bad_request("metadata"))).collect()
}

fn decode_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(key)?, decode(value)?))
}

/// Undoes percent encoding; `None` if it is broken or does not give UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
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
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
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
        let query = Query::parse(Some(query), &["metadata", "limit"]).unwrap();
        assert_eq!(query.get("limit"), Some("5"));
        let filter = metadata(query.get("metadata").unwrap()).unwrap();
        let expected = [("app", "x y"), ("req", "a&b=c")];
        assert_eq!(filter, expected.map(|(k, v)| (k.into(), v.into())).into());
    }

    #[test]
    fn broken_escapes_are_rejected() {
        for query in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Query::parse(Some(query), &["a"]).is_err(), "{query}");
        }
        assert!(metadata("a=%2541").is_ok());
        assert!(metadata("a=%25zz").is_err());
    }
}
