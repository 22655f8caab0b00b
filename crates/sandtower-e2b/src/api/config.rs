use std::env::VarError;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, uri::Scheme};
use http_body_util::Full;
use sandtower_core::{BoxError, Rng, Seed};

use crate::{CallId, Events, Owner, Sandbox, Timeouts, api::request};

/// The domain of E2B.
const DEFAULT_DOMAIN: &str = "e2b.app";
/// What an error calls a key that did not come from the environment.
const KEY: &str = "the API key";

/// The address of E2B and the API key.
///
/// ```
/// use sandtower_e2b::Config;
///
/// let config = Config::new("e2b_0123")?
///     .api_url("http://127.0.0.1:3000")?
///     .sandbox_url("http://127.0.0.1:3000")?;
/// assert!(!format!("{config:?}").contains("e2b_0123"));
/// # Ok::<(), sandtower_e2b::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    key: HeaderValue,
    domain: String,
    api: Option<Uri>,
    sandbox: Option<Uri>,
    seed: Seed,
    owner: Owner,
    owner_is_given: bool,
    idempotency_keys: bool,
    timeouts: Timeouts,
    events: Events,
}

/// An invalid [`Config`]. The invalid value is never quoted: it may be a misplaced secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The environment has no API key.
    #[error("`E2B_API_KEY` is not set: it must be the API key of an E2B team")]
    NoKey,
    /// The API key is empty.
    #[error("the API key is empty: it must be that of an E2B team, such as e2b_0123..")]
    EmptyKey,
    /// The API key cannot be sent in a header.
    #[error("{0} cannot be sent in a header: it must be visible ASCII, without blanks")]
    Key(&'static str),
    /// A URL is invalid.
    #[error("`{0}` must be a scheme and a host, such as https://api.e2b.app, without a path")]
    Url(&'static str),
    /// A domain is invalid.
    #[error("`{0}` must be a domain, such as e2b.app")]
    Domain(&'static str),
    /// An environment variable is not valid Unicode.
    #[error("`{0}` is not UTF-8")]
    NotText(&'static str),
}

impl Config {
    /// A configuration for E2B itself with this key.
    ///
    /// # Errors
    ///
    /// The key is empty, or cannot be sent in a header.
    pub fn new(key: impl AsRef<str>) -> Result<Self, ConfigError> {
        let key = key.as_ref();
        if key.is_empty() {
            return Err(ConfigError::EmptyKey);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::Key(KEY));
        }
        let mut header = HeaderValue::from_str(key).map_err(|_| ConfigError::Key(KEY))?;
        header.set_sensitive(true);
        let seed = Seed::random();
        Ok(Self {
            key: header,
            domain: DEFAULT_DOMAIN.to_owned(),
            api: None,
            sandbox: None,
            owner: Owner::random(&seed),
            seed,
            owner_is_given: false,
            idempotency_keys: false,
            timeouts: Timeouts::default(),
            events: Events::new(),
        })
    }

    /// Reads the environment variables of the official SDKs: `E2B_API_KEY`, `E2B_DOMAIN`,
    /// `E2B_API_URL`, `E2B_SANDBOX_URL`. Only the first is required; an empty variable counts as
    /// unset.
    ///
    /// # Errors
    ///
    /// There is no API key, or a variable is invalid; the error names the variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var(name))
    }

    fn from_variables(
        variable: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self, ConfigError> {
        let text = |name: &'static str| match variable(name) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(ConfigError::NotText(name)),
        };
        let key = text("E2B_API_KEY")?.ok_or(ConfigError::NoKey)?;
        let mut config = Self::new(key).map_err(|error| match error {
            ConfigError::Key(_) => ConfigError::Key("`E2B_API_KEY`"),
            other => other,
        })?;
        if let Some(domain) = text("E2B_DOMAIN")? {
            config = config.domain(&domain)?;
        }
        if let Some(url) = text("E2B_API_URL")? {
            config = config.api_url(&url)?;
        }
        if let Some(url) = text("E2B_SANDBOX_URL")? {
            config = config.sandbox_url(&url)?;
        }
        Ok(config)
    }

    /// The domain: the control plane is at `api.<domain>`, a port of a sandbox at
    /// `<port>-<id>.<domain>`. Ignored where a URL is set.
    ///
    /// # Errors
    ///
    /// The domain is invalid.
    pub fn domain(mut self, domain: &str) -> Result<Self, ConfigError> {
        if !is_domain(domain) {
            return Err(ConfigError::Domain("E2B_DOMAIN"));
        }
        domain.clone_into(&mut self.domain);
        Ok(self)
    }

    /// The URL of the control plane.
    ///
    /// # Errors
    ///
    /// The URL is not of the form `http(s)://host[:port]`.
    pub fn api_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.api = Some(origin(url).ok_or(ConfigError::Url("E2B_API_URL"))?);
        Ok(self)
    }

    /// One URL for all sandboxes, which headers then select. By default each sandbox has its own host.
    ///
    /// # Errors
    ///
    /// The URL is not of the form `http(s)://host[:port]`.
    pub fn sandbox_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.sandbox = Some(origin(url).ok_or(ConfigError::Url("E2B_SANDBOX_URL"))?);
        Ok(self)
    }

    /// Records this owner in the metadata of all sandboxes that are created. By default it is random:
    /// different for each new config, shared by clones.
    #[must_use]
    pub fn owner(self, owner: Owner) -> Self {
        Self { owner, owner_is_given: true, ..self }
    }

    /// The owner that is recorded in the metadata of sandboxes.
    pub fn owner_name(&self) -> &Owner {
        &self.owner
    }

    /// Sends an `Idempotency-Key` with each creation, which may then be replayed. Use it only for services
    /// known to honour the header: elsewhere a replay creates a second sandbox.
    #[must_use]
    pub fn idempotency_keys(self, sent: bool) -> Self {
        Self { idempotency_keys: sent, ..self }
    }

    /// Whether an [owner](Self::owner) is set; else it is random.
    pub fn has_owner(&self) -> bool {
        self.owner_is_given
    }

    /// Draws call ids, and the [owner](Self::owner) if none is set, from `seed`, for reproducible runs.
    /// Clones of a config draw from one seed.
    #[must_use]
    pub fn seed(self, seed: Seed) -> Self {
        let owner = match self.owner_is_given {
            true => self.owner,
            false => Owner::random(&seed),
        };
        Self { owner, seed, ..self }
    }

    pub(crate) fn sends_idempotency_keys(&self) -> bool {
        self.idempotency_keys
    }

    pub(crate) fn rng(&self) -> Rng {
        self.seed.rng()
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId::new(&self.seed)
    }

    /// Sets the timeouts of operations.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The timeouts of operations; a stack builds its timeout layers from them.
    pub fn operation_timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Reports creations to `events`. By default each new config has events of its own, shared by
    /// its clones.
    #[must_use]
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Reports and counts creations.
    pub fn creation_events(&self) -> &Events {
        &self.events
    }

    /// A request to the control plane with the key of this configuration and a JSON body, which may be empty:
    /// for layers that send requests of their own.
    ///
    /// # Errors
    ///
    /// `path` is not the path of a URL.
    pub fn control_request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, BoxError> {
        request::control(self, method, path, body)
    }

    /// Whether `request` is sent with the key of this configuration.
    pub fn has_key_of<B>(&self, request: &Request<B>) -> bool {
        request.headers().get(request::API_KEY) == Some(&self.key)
    }

    /// The key as a header value whose `Debug` shows nothing.
    pub(crate) fn key(&self) -> &HeaderValue {
        &self.key
    }

    /// `path` of the control plane.
    pub(crate) fn api_uri(&self, path: &str) -> Result<Uri, http::Error> {
        match &self.api {
            Some(origin) => at(origin, path),
            None => Uri::builder()
                .scheme(Scheme::HTTPS)
                .authority(format!("api.{}", self.domain))
                .path_and_query(path)
                .build(),
        }
    }

    /// The control plane and one example of a sandbox; all sandboxes are reached in the same way.
    #[cfg(feature = "transport")]
    pub(crate) fn origins(&self) -> Vec<Uri> {
        let sandbox = match "i0".parse() {
            Ok(id) => self.sandbox_uri(&Sandbox::new(id, None), crate::ENVD_PORT, "/").ok(),
            Err(_) => None,
        };
        self.api_uri("/").ok().into_iter().chain(sandbox).collect()
    }

    /// `path` on `port` of `sandbox`.
    pub(crate) fn sandbox_uri(
        &self,
        sandbox: &Sandbox,
        port: u16,
        path: &str,
    ) -> Result<Uri, http::Error> {
        if let Some(origin) = &self.sandbox {
            return at(origin, path);
        }
        // The domain comes from the server and decides where the access token is sent: accept nothing
        // but a domain.
        let domain = sandbox.domain().filter(|domain| is_domain(domain)).unwrap_or(&self.domain);
        Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(format!("{port}-{}.{domain}", sandbox.id()))
            .path_and_query(path)
            .build()
    }
}

fn at(origin: &Uri, path: &str) -> Result<Uri, http::Error> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// Accepts scheme, host and port only: credentials would end up in logs, and a path would hide from the
/// classifiers what a request is for.
fn origin(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_http = [Some("http"), Some("https")].contains(&uri.scheme_str());
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority()?.as_str();
    (is_http && is_bare && !authority.contains('@') && !uri.host()?.is_empty()).then_some(uri)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !host.is_empty() && host.bytes().all(allowed) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            let value = variables.iter().find(|(set, _)| *set == name);
            value.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    fn sandbox() -> Sandbox {
        Sandbox::new("i0abc".parse().unwrap(), None)
    }

    #[test]
    fn a_key_alone_configures_e2b() {
        let config = from(&[("E2B_API_KEY", "e2b_1"), ("E2B_API_URL", "")]).unwrap();
        assert_eq!(config.api_uri("/health").unwrap(), "https://api.e2b.app/health");
        assert_eq!(
            config.sandbox_uri(&sandbox(), 49_983, "/health").unwrap(),
            "https://49983-i0abc.e2b.app/health",
        );
    }

    #[test]
    fn a_domain_moves_both_planes_and_a_url_one() {
        let config = from(&[
            ("E2B_API_KEY", "e2b_1"),
            ("E2B_DOMAIN", "e2b.test"),
            ("E2B_SANDBOX_URL", "http://127.0.0.1:4000"),
        ])
        .unwrap();
        assert_eq!(config.api_uri("/health").unwrap(), "https://api.e2b.test/health");
        assert_eq!(
            config.sandbox_uri(&sandbox(), 49_983, "/files?path=a").unwrap(),
            "http://127.0.0.1:4000/files?path=a",
        );
    }

    #[test]
    fn a_sandbox_may_have_its_own_domain_but_no_more_than_a_domain() {
        let of = |domain: &str| {
            let json = format!(r#"{{"sandboxID":"i0","domain":"{domain}"}}"#);
            let sandbox = serde_json::from_str(&json).unwrap();
            Config::new("k").unwrap().sandbox_uri(&sandbox, 49_983, "/").unwrap().to_string()
        };
        assert_eq!(of("eu.e2b.test"), "https://49983-i0.eu.e2b.test/");
        assert_eq!(of("evil.test/x"), "https://49983-i0.e2b.app/");
        assert_eq!(of("user@evil.test"), "https://49983-i0.e2b.app/");
    }

    #[test]
    fn an_error_names_the_setting_and_not_its_value() {
        assert_eq!(from(&[]).unwrap_err(), ConfigError::NoKey);
        let error = from(&[("E2B_API_KEY", "a\nb")]).unwrap_err();
        assert_eq!(error, ConfigError::Key("`E2B_API_KEY`"));
        for url in ["127.0.0.1:3000", "ftp://a", "http://a/v1", "https://u:p@a", "http://a/?b", "é"]
        {
            let error = from(&[("E2B_API_KEY", "k"), ("E2B_API_URL", url)]).unwrap_err();
            assert_eq!(error, ConfigError::Url("E2B_API_URL"), "{url}");
            assert!(!error.to_string().contains("u:p"));
        }
        let error = from(&[("E2B_API_KEY", "k"), ("E2B_DOMAIN", "a/b")]).unwrap_err();
        assert_eq!(error, ConfigError::Domain("E2B_DOMAIN"));
    }

    #[test]
    fn an_error_about_a_key_argument_does_not_name_the_environment() {
        for key in ["", "a b", "e2b_\u{e9}", "a\n"] {
            let error = Config::new(key).unwrap_err().to_string();
            assert!(error.starts_with("the API key ") && !error.contains("E2B_API_KEY"), "{error}");
        }
        assert!(from(&[]).unwrap_err().to_string().contains("`E2B_API_KEY` is not set"));
        assert!(from(&[("E2B_API_KEY", "a b")]).unwrap_err().to_string().contains("`E2B_API_KEY`"));
    }

    #[test]
    fn debug_shows_no_key() {
        let debug = format!("{:?}", Config::new("e2b_verysecret").unwrap());
        assert!(!debug.contains("verysecret"), "{debug}");
    }
}
