use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::HeaderMap;

use crate::SandboxInfo;

/// A filter for listing sandboxes.
///
/// ```
/// use sandtower_e2b::ListSandboxes;
///
/// let mine = ListSandboxes::default().metadata("user", "u-17").limit(100);
/// # let _ = mine;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSandboxes {
    metadata: BTreeMap<String, String>,
    limit: Option<u32>,
    after: Option<String>,
    all_states: bool,
}

/// One page of a listing.
///
/// The listing lags: a sandbox that was just created may be missing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The sandboxes on this page.
    pub sandboxes: Vec<SandboxInfo>,
    /// The token to pass to [`ListSandboxes::after`] for the next page; `None`: this is the last page.
    pub next: Option<String>,
    /// The number of running sandboxes in all, if the service reports it.
    pub running: Option<u64>,
}

impl Page {
    /// Parses a page and its headers.
    pub(crate) fn new(sandboxes: Vec<SandboxInfo>, fields: &HeaderMap) -> Self {
        let text = |name: &str| fields.get(name)?.to_str().ok().filter(|text| !text.is_empty());
        Self {
            sandboxes,
            next: text("x-next-token").map(str::to_owned),
            running: text("x-total-running").and_then(|running| running.parse().ok()),
        }
    }
}

impl ListSandboxes {
    /// Only sandboxes whose metadata has this pair. Several pairs must all match.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Includes paused sandboxes, whatever the service does by default.
    pub(crate) fn in_all_states(self) -> Self {
        Self { all_states: true, ..self }
    }

    /// The most sandboxes on a page. The service allows 100.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Starts at the page that [`Page::next`] of the previous page names.
    #[must_use]
    pub fn after(mut self, next: impl Into<String>) -> Self {
        self.after = Some(next.into());
        self
    }

    /// Sets the page size if none is set.
    pub(crate) fn largest(mut self, limit: u32) -> Self {
        self.limit.get_or_insert(limit);
        self
    }

    /// The path and query of the request.
    pub(crate) fn path(&self) -> String {
        let mut path = String::from("/v2/sandboxes");
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            // Writing to a `String` cannot fail.
            let _ = write!(path, "{separator}{name}={}", encode(value));
            separator = '&';
        };
        if !self.metadata.is_empty() {
            add("metadata", &self.filter());
        }
        if self.all_states {
            add("state", "running,paused");
        }
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        if let Some(after) = &self.after {
            add("nextToken", after);
        }
        path
    }

    /// Encodes the pairs as the service decodes them: it decodes the parameter, decodes the result again,
    /// splits it, and decodes each part once more.
    fn filter(&self) -> String {
        let twice = |text: &str| encode(&encode(text));
        let pairs = self.metadata.iter().map(|(k, v)| format!("{}={}", twice(k), twice(v)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_encoded_as_the_official_sdk_does_it() {
        let list = ListSandboxes::default().metadata("app", "x y").metadata("req", "a&b=c");
        assert_eq!(list.path(), "/v2/sandboxes?metadata=app%3Dx%252520y%26req%3Da%252526b%25253Dc",);
    }

    #[test]
    fn a_page_is_requested_by_its_token() {
        assert_eq!(ListSandboxes::default().path(), "/v2/sandboxes");
        assert_eq!(
            ListSandboxes::default().limit(100).after("a/b==").path(),
            "/v2/sandboxes?limit=100&nextToken=a%2Fb%3D%3D",
        );
    }
}
