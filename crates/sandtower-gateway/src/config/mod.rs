//! How a gateway is configured.

mod admin;
mod error;
mod keys;
mod network;
mod places;
mod size;
mod source;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandtower::core::settings::duration;
use sandtower::stack::StackConfig;
use serde::{Deserialize, Serialize};

use crate::addresses::Addresses;

pub use admin::Admin;
pub use error::ConfigError;
pub use keys::{Keys, UpstreamKey};
pub use network::Network;
pub use places::Place;
pub use size::Size;
pub use source::Source;

/// How a gateway is configured: read by a [`Source`] from a file, the environment and single settings.
///
/// Times are texts such as `"30s"`, sizes texts such as `"4MiB"`. What is left out is as by default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the gateway listens for SDKs.
    pub listen: SocketAddr,
    /// How many threads serve requests, each with its own connections; 0: one per processor.
    pub workers: usize,
    /// The name that is written on all sandboxes that are created through the gateway: 1 to 64 of
    /// `[a-z0-9-]`. Gateways that share their load also share the name.
    pub owner: String,
    /// Where E2B is: home, where sandboxes are created.
    pub upstream: Upstream,
    /// Other places, where sandboxes are created while home does not create them: tried in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// How long a creation waits in one place while another one is up: by default 20 s.
    #[serde(with = "duration")]
    pub failover_after: Duration,
    /// The domain under which the gateway itself is reached as `api.<domain>` and `<port>-<id>.<domain>`,
    /// with its port if that is not 443.
    pub domain: Option<String>,
    /// The certificate of the gateway: with it, it speaks TLS, with HTTP/1.1 and HTTP/2.
    pub tls: Option<Tls>,
    /// Proxies in front of the gateway whose `X-Forwarded-For` tells the client's address. Of all other
    /// peers the header is replaced.
    pub trusted_proxies: Vec<Network>,
    /// A file of this gateway's own that records creations in flight, so that what they leave behind at a
    /// crash is killed after it. Left out, it lives until its timeout.
    pub journal: Option<PathBuf>,
    /// How long clients wait for a response: the gateway responds a little earlier.
    #[serde(with = "duration")]
    pub client_timeout: Duration,
    /// What a client may use up.
    pub limits: Limits,
    /// Virtual keys, and the keys of the service that they are sent on as.
    pub keys: Keys,
    /// The listener for operators.
    pub admin: Admin,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// What is logged of each request.
    pub access_log: AccessLog,
    /// The stack between the gateway and E2B, one for each API key.
    #[serde(skip_serializing_if = "is_default")]
    pub stack: toml::Table,
}

fn is_default(table: &toml::Table) -> bool {
    table.is_empty()
}

/// Where E2B is: by default E2B itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Upstream {
    /// The domain of the service, unless it has the two addresses below.
    pub domain: String,
    /// The address of the control plane, such as `https://api.e2b.app`.
    pub api_url: Option<String>,
    /// The address under which all sandboxes are reached.
    pub sandbox_url: Option<String>,
    /// A file with certificates in PEM that are trusted besides the public ones.
    pub root_certificates: Option<PathBuf>,
    /// Trusts no public certificates.
    pub only_own_roots: bool,
    /// The proxy through which E2B is reached: a URL, or `"none"`. By default that of the environment.
    #[serde(skip_serializing)]
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas.
    pub no_proxy: String,
    /// Unused connections that are kept to one host, by each worker.
    pub idle_connections: usize,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            domain: String::from("e2b.app"),
            api_url: None,
            sandbox_url: None,
            root_certificates: None,
            only_own_roots: false,
            proxy: None,
            no_proxy: String::new(),
            idle_connections: 512,
        }
    }
}

/// The certificate of a listener. Both files are read again at each reload.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The chain of certificates in PEM, the gateway's own first.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// What clients may use up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of clients; more wait to be accepted.
    pub connections: NonZeroUsize,
    /// How long a client may take for the head of a request, and for the body of one to the control plane.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How long a client may read nothing of its response.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// The header fields of one request together.
    pub header_size: Size,
    /// The body of a request to the control plane.
    pub control_body: Size,
    /// API keys with a stack of their own.
    pub keys: NonZeroUsize,
    /// Sandboxes that are remembered.
    pub sandboxes: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            connections: number(16_384),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(120),
            header_size: Size(64 * 1_024),
            control_body: Size(4 * 1_024 * 1_024),
            keys: number(1_000),
            sandboxes: number(100_000),
        }
    }
}

/// How the gateway ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shutdown {
    /// How long the readiness probe fails before connections are closed: until balancers have seen it.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// How long requests in flight may go on.
    #[serde(with = "duration")]
    pub longest: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::ZERO, longest: Duration::from_secs(900) }
    }
}

/// What is logged of each request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AccessLog {
    /// Which requests are logged.
    pub requests: Logged,
    /// From how long on a request is slow.
    #[serde(with = "duration")]
    pub slow: Duration,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { requests: Logged::Notable, slow: Duration::from_secs(5) }
    }
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Logged {
    /// None.
    None,
    /// Those that failed, were rejected, were retried or were slow.
    Notable,
    /// All.
    All,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4_000)),
            workers: 0,
            owner: String::from("gateway"),
            upstream: Upstream::default(),
            places: Vec::new(),
            failover_after: Duration::from_secs(20),
            domain: None,
            tls: None,
            trusted_proxies: Vec::new(),
            journal: None,
            client_timeout: Duration::from_secs(60),
            limits: Limits::default(),
            keys: Keys::default(),
            admin: Admin::default(),
            shutdown: Shutdown::default(),
            access_log: AccessLog::default(),
            stack: toml::Table::new(),
        }
    }
}

impl Config {
    /// How many threads serve requests.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        }
    }

    /// How long calls to the control plane are expected to take: less than they wait, in one place if there are
    /// others.
    pub(crate) fn expected(&self) -> Duration {
        let wait = match self.places.is_empty() {
            true => self.client_timeout,
            false => self.failover_after.min(self.client_timeout / 2),
        };
        (wait / 2).max(Duration::from_millis(1))
    }

    /// Whether stacks have a warm pool.
    pub(crate) fn has_pool(&self) -> bool {
        let disabled = self.stack.get("disable").and_then(toml::Value::as_array);
        let is_disabled =
            disabled.is_some_and(|all| all.iter().any(|name| name.as_str() == Some("pool")));
        self.stack.contains_key("pool") && !is_disabled
    }

    /// Whether no later process takes stock over: a virtual key could make its sandbox look like stock. What a
    /// store of the pool has as idle is stock.
    pub(crate) fn ends_stock(&self) -> bool {
        let has_store = self.stack.get("pool").is_some_and(|pool| pool.get("store").is_some());
        self.has_pool() && !self.keys.upstream.is_empty() && !has_store
    }

    /// The stack's own settings.
    pub(crate) fn stack_config(&self) -> Result<StackConfig, ConfigError> {
        StackConfig::read(toml::Value::Table(self.stack.clone()))
            .map_err(|error| ConfigError::new(format!("stack.{}", error.name()), error.why()))
    }

    /// Checks what the type of a setting does not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        places::check(self)?;
        self.stack_config()?;
        self.admin.check()?;
        if self.owner.parse::<sandtower::e2b::Owner>().is_err() {
            let right = "it must have 1 to 64 of the characters `a` to `z`, `0` to `9` and `-`";
            return Err(ConfigError::new("owner", right));
        }
        let folder = self.journal.as_deref().and_then(Path::parent);
        if folder.is_some_and(|folder| folder != Path::new("") && !folder.is_dir()) {
            return Err(ConfigError::new("journal", "it must be a file in a folder that exists"));
        }
        let least = Duration::from_secs(1);
        if self.client_timeout < least || self.client_timeout == Duration::MAX {
            let right = "it must be at least 1s: the official SDKs wait for 60s";
            return Err(ConfigError::new("client_timeout", right));
        }
        for (name, time) in [
            ("limits.request_timeout", self.limits.request_timeout),
            ("limits.write_timeout", self.limits.write_timeout),
            ("failover_after", self.failover_after),
        ] {
            if time.is_zero() {
                return Err(ConfigError::new(name, "it must be greater than zero"));
            }
        }
        if self.limits.header_size.0 < 8_192 {
            return Err(ConfigError::new("limits.header_size", "it must be at least 8KiB"));
        }
        if let Some(domain) = &self.domain
            && (!domain.contains('.') || Addresses::under(domain).is_err())
        {
            let right =
                "it must be a domain, such as gw.example.com, with its port if that is not 443";
            return Err(ConfigError::new("domain", right));
        }
        Ok(())
    }
}
