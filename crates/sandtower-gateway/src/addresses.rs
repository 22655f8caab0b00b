//! Where E2B is in one place.

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use sandtower::e2b::{Config, ConfigError, SandboxId};

/// One E2B: its control plane, and the way into its sandboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    api: Uri,
    sandboxes: Sandboxes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sandboxes {
    /// All at one address, distinguished by header fields.
    At(Uri),
    /// Each at `<port>-<id>.<domain>`.
    Under(String),
}

impl Addresses {
    /// At these two addresses.
    pub(crate) fn new(api: &str, sandboxes: &str) -> Result<Self, ConfigError> {
        Config::new("checked")?.api_url(api)?.sandbox_url(sandboxes)?;
        let uri = |text: &str, name| text.parse().map_err(|_| ConfigError::Url(name));
        let sandboxes = Sandboxes::At(uri(sandboxes, "E2B_SANDBOX_URL")?);
        Ok(Self { api: uri(api, "E2B_API_URL")?, sandboxes })
    }

    /// At `api.<domain>` and `<port>-<id>.<domain>`.
    pub(crate) fn under(domain: &str) -> Result<Self, ConfigError> {
        Config::new("checked")?.domain(domain)?;
        let api = format!("https://api.{domain}").parse();
        let api = api.map_err(|_| ConfigError::Domain("E2B_DOMAIN"))?;
        Ok(Self { api, sandboxes: Sandboxes::Under(domain.to_owned()) })
    }

    /// How a client with `key` reaches it.
    pub(crate) fn config(&self, key: &str) -> Result<Config, ConfigError> {
        let origin = |uri: &Uri| uri.to_string().trim_end_matches('/').to_owned();
        let config = Config::new(key)?.api_url(&origin(&self.api))?;
        match &self.sandboxes {
            Sandboxes::At(uri) => config.sandbox_url(&origin(uri)),
            Sandboxes::Under(domain) => config.domain(domain),
        }
    }

    /// The target of a request to the control plane.
    pub(crate) fn control(&self, path: Option<&PathAndQuery>) -> Option<Uri> {
        at(self.api.scheme(), self.api.authority().cloned(), path)
    }

    /// The target of a request to a port of a sandbox.
    pub(crate) fn sandbox(
        &self,
        id: &SandboxId,
        port: u16,
        path: Option<&PathAndQuery>,
    ) -> Option<Uri> {
        match &self.sandboxes {
            Sandboxes::At(uri) => at(uri.scheme(), uri.authority().cloned(), path),
            Sandboxes::Under(domain) => {
                let authority: Authority = format!("{port}-{id}.{domain}").parse().ok()?;
                at(Some(&Scheme::HTTPS), Some(authority), path)
            }
        }
    }
}

fn at(
    scheme: Option<&Scheme>,
    authority: Option<Authority>,
    path: Option<&PathAndQuery>,
) -> Option<Uri> {
    let mut parts = Parts::default();
    parts.scheme = scheme.cloned();
    parts.authority = authority;
    parts.path_and_query = Some(path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(addresses: &Addresses, path: &str) -> (String, String) {
        let path: PathAndQuery = path.parse().unwrap();
        let sandbox = addresses.sandbox(&"i0".parse().unwrap(), 3000, Some(&path)).unwrap();
        (addresses.control(Some(&path)).unwrap().to_string(), sandbox.to_string())
    }

    #[test]
    fn under_a_domain_each_sandbox_has_its_host() {
        let addresses = Addresses::under("e2b.test").unwrap();
        let expected = ("https://api.e2b.test/a?b", "https://3000-i0.e2b.test/a?b");
        assert_eq!(target(&addresses, "/a?b"), (expected.0.to_owned(), expected.1.to_owned()));
        assert!(addresses.config("e2b_1").is_ok());
    }

    #[test]
    fn two_addresses_are_two_addresses() {
        let addresses = Addresses::new("http://127.0.0.1:1", "http://127.0.0.1:2/").unwrap();
        let expected = ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a");
        assert_eq!(target(&addresses, "/a"), (expected.0.to_owned(), expected.1.to_owned()));
        assert!(addresses.config("e2b_1").is_ok());
    }
}
