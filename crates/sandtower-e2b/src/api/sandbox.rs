use std::str::FromStr;

use serde::Deserialize;

use crate::Secret;
use crate::api::lenient::odd_is_absent;

/// The most characters of an id. E2B's have 21, or 30 with the suffix of the client.
const LONGEST: usize = 128;

/// The id of a sandbox, assigned by the server.
///
/// Letters, digits, `-` and `_` only: ids are part of paths and host names, where other characters could
/// redirect a request.
///
/// ```
/// use sandtower_e2b::SandboxId;
///
/// let id: SandboxId = "i2e766b8d03ae72010e8".parse()?;
/// assert!("../teams".parse::<SandboxId>().is_err());
/// # let _ = id;
/// # Ok::<(), sandtower_e2b::NotAnId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SandboxId(Box<str>);

/// Not a valid sandbox id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sandbox id has 1 to 128 letters, digits, `-` and `_`")]
#[non_exhaustive]
pub struct NotAnId;

impl SandboxId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SandboxId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(NotAnId)
        }
    }
}

impl TryFrom<String> for SandboxId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl std::fmt::Display for SandboxId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A handle to a sandbox: its id and its access tokens.
///
/// A plain handle: dropping it does not kill the sandbox. `Debug` shows no token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sandbox {
    #[serde(rename = "sandboxID")]
    id: SandboxId,
    #[serde(rename = "templateID", default, deserialize_with = "odd_is_absent")]
    template: Option<String>,
    #[serde(rename = "envdAccessToken", default)]
    access_token: Option<Secret>,
    #[serde(rename = "trafficAccessToken", default)]
    traffic_token: Option<Secret>,
    #[serde(default, deserialize_with = "odd_is_absent")]
    domain: Option<String>,
    #[serde(rename = "envdVersion", default, deserialize_with = "odd_is_absent")]
    envd_version: Option<String>,
}

impl Sandbox {
    /// A handle from an id and an access token that were stored elsewhere.
    pub fn new(id: SandboxId, access_token: Option<Secret>) -> Self {
        Self {
            id,
            template: None,
            access_token,
            traffic_token: None,
            domain: None,
            envd_version: None,
        }
    }

    /// The id.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// The id of the template that the sandbox was created from.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The access token for envd; `None` if envd is open.
    pub fn access_token(&self) -> Option<&Secret> {
        self.access_token.as_ref()
    }

    /// The access token for the other ports; `None` if they are open.
    pub fn traffic_token(&self) -> Option<&Secret> {
        self.traffic_token.as_ref()
    }

    /// The domain of the sandbox, if it differs from the configured one.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The version of envd.
    pub fn envd_version(&self) -> Option<&str> {
        self.envd_version.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = r#"{"templateID": "rki5", "sandboxID": "i2e766b8d03ae72010e8",
        "alias": "base", "clientID": "6532622b", "envdVersion": "0.6.13",
        "envdAccessToken": "tok_secret", "trafficAccessToken": null, "domain": null}"#;

    #[test]
    fn a_created_sandbox_is_read_and_shows_no_token() {
        let sandbox: Sandbox = serde_json::from_str(CREATED).unwrap();
        assert_eq!(sandbox.id().as_str(), "i2e766b8d03ae72010e8");
        assert_eq!(sandbox.access_token().map(Secret::expose), Some("tok_secret"));
        assert_eq!((sandbox.traffic_token(), sandbox.domain()), (None, None));
        let debug = format!("{sandbox:?}");
        assert!(debug.contains("i2e766b8d03ae72010e8") && !debug.contains("tok_secret"), "{debug}");
    }

    #[test]
    fn an_id_cannot_redirect_a_request() {
        let longest = "a".repeat(LONGEST);
        assert!(longest.parse::<SandboxId>().is_ok());
        for id in ["", ".", "a/b", "a.evil.test", "a?b", "a%2fb", "a b", &format!("{longest}a")] {
            assert_eq!(id.parse::<SandboxId>(), Err(NotAnId), "{id:?}");
        }
    }
}
