use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::Secret;

use super::pools::Pools;
use super::route::{Route, speaks_http};
use super::{HttpTransport, connect::Connector};

/// A reachable server responds within a round trip or two. Nothing has been sent yet, so trying again is
/// safe: fail early.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the minute after which many load balancers drop a silent connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// The pool adds it to the current time, which must not overflow.
const LONGEST_IDLE: Duration = Duration::from_secs(365 * 86_400);
/// For HTTP/1.1, per host. A sandbox rarely gets more concurrent requests.
const IDLE_PER_HOST: usize = 16;
/// With the next constant: how soon HTTP/2 detects a dead connection.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Configures how an [`HttpTransport`] opens and keeps connections.
///
/// ```
/// use std::time::Duration;
/// use sandtower_e2b::HttpTransport;
///
/// # fn main() -> Result<(), sandtower_e2b::TransportError> {
/// let transport = HttpTransport::builder()
///     .connect_timeout(Duration::from_secs(5))
///     .proxy("http://proxy.corp.test:3128", "localhost,10.0.0.0/8")
///     .build()?;
/// # let _ = transport;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct HttpTransportBuilder {
    pems: Vec<Vec<u8>>,
    public_roots: bool,
    proxy: Proxy,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_per_host: usize,
}

#[derive(Clone, Debug)]
enum Proxy {
    OfTheEnvironment,
    Never,
    /// A URL that may contain a password, and the hosts that bypass it.
    Always(Secret, String),
}

/// The transport could not be built. Values are never quoted: a proxy URL may contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The certificates cannot be parsed.
    #[error("`root_certificates` must be one or more certificates in PEM")]
    NotACertificate,
    /// A certificate cannot be used as a root.
    #[error("`root_certificates` has a certificate that cannot be a root")]
    NotARoot(#[source] rustls::Error),
    /// There are no root certificates.
    #[error("`only_own_roots` requires `root_certificates`: without one no server is trusted")]
    NoRoots,
    /// The proxy URL is invalid.
    #[error(
        "`proxy` must be a URL such as http://user:password@proxy.test:3128; SOCKS is not supported"
    )]
    Proxy,
    /// The environment has an invalid proxy for this host.
    #[error(
        "the proxy for `{host}` in `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` must be an http or https URL; SOCKS is not supported"
    )]
    ProxyOfTheEnvironment {
        /// The host.
        host: String,
    },
    /// `connect_timeout` is zero.
    #[error("`connect_timeout` must be longer than 0")]
    ConnectTimeout,
    /// `idle_timeout` is too long.
    #[error("`idle_timeout` must be at most {} days", LONGEST_IDLE.as_secs() / 86_400)]
    IdleTimeout,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Default for HttpTransportBuilder {
    fn default() -> Self {
        Self {
            pems: Vec::new(),
            public_roots: true,
            proxy: Proxy::OfTheEnvironment,
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            idle_per_host: IDLE_PER_HOST,
        }
    }
}

impl HttpTransportBuilder {
    /// Also trusts these certificates: one or more, in PEM.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.pems.push(pem.into());
        self
    }

    /// Trusts only one's own [root certificates](Self::root_certificates).
    pub fn only_own_roots(mut self) -> Self {
        self.public_roots = false;
        self
    }

    /// Tunnels all connections (`CONNECT`) through this proxy: an `http` or `https` URL, with
    /// credentials if the proxy requires them. Hosts, domains and networks in `except`, separated by
    /// commas as in `NO_PROXY`, are connected to directly.
    pub fn proxy(mut self, url: &str, except: &str) -> Self {
        self.proxy = Proxy::Always(Secret::new(url), except.to_owned());
        self
    }

    /// Connects to every server directly and ignores the proxies of the environment.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Proxy::Never;
        self
    }

    /// The timeout for opening a connection: DNS, TCP, proxy and TLS together. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an idle connection is kept. Default: 45 s; at most a year. If it is too long, a load
    /// balancer has dropped the connection by the time it is used again.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The most idle HTTP/1.1 connections per host. Default: 16.
    pub fn idle_per_host(mut self, connections: usize) -> Self {
        self.idle_per_host = connections;
        self
    }

    /// Builds the transport.
    ///
    /// # Errors
    ///
    /// A setting is invalid; the error says which, and what would be valid.
    pub fn build(self) -> Result<HttpTransport, TransportError> {
        if self.connect_timeout.is_zero() {
            return Err(TransportError::ConnectTimeout);
        }
        if self.idle_timeout > LONGEST_IDLE {
            return Err(TransportError::IdleTimeout);
        }
        let proxies = self.proxy.matcher()?.map(Arc::new);
        let tls = self.tls()?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(60)));
        let https = || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let to_proxy = https().enable_http1().wrap_connector(http.clone());
        let route = Route { http, to_proxy, proxies };
        let connector = Connector {
            https: https().enable_all_versions().wrap_connector(route.clone()),
            limit: self.connect_timeout,
        };
        let (idle_timeout, idle_per_host) = (self.idle_timeout, self.idle_per_host);
        let make = move || {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(idle_timeout)
                .pool_max_idle_per_host(idle_per_host)
                .http2_keep_alive_interval(PING_EVERY)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .build(connector.clone())
        };
        Ok(HttpTransport { pools: Pools::new(make, idle_timeout), route })
    }

    fn tls(&self) -> Result<ClientConfig, TransportError> {
        let mut roots = RootCertStore::empty();
        if self.public_roots {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for pem in &self.pems {
            let certificates = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| TransportError::NotACertificate)?;
            if certificates.is_empty() {
                return Err(TransportError::NotACertificate);
            }
            for certificate in certificates {
                roots.add(certificate).map_err(TransportError::NotARoot)?;
            }
        }
        if roots.is_empty() {
            return Err(TransportError::NoRoots);
        }
        // Explicit, so that it does not depend on what else the program links.
        Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TransportError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

impl Proxy {
    /// A proxy of the environment is validated when a host is reached through it; others do not matter.
    fn matcher(&self) -> Result<Option<Matcher>, TransportError> {
        match self {
            Self::Never => Ok(None),
            Self::OfTheEnvironment => Ok(Some(Matcher::from_env())),
            Self::Always(url, except) => {
                let url = url.expose();
                let any = Uri::from_static("https://e2b.app");
                match Matcher::builder().all(url).build().intercept(&any) {
                    Some(proxy) if speaks_http(&proxy) => {}
                    _ => return Err(TransportError::Proxy),
                }
                Ok(Some(Matcher::builder().all(url).no(except.as_str()).build()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(builder: HttpTransportBuilder) -> TransportError {
        builder.build().unwrap_err()
    }

    #[test]
    fn an_invalid_setting_is_rejected_with_what_would_be_valid() {
        let builder = || HttpTransport::builder().no_proxy();
        assert!(builder().build().is_ok());
        assert!(matches!(
            rejected(builder().connect_timeout(Duration::ZERO)),
            TransportError::ConnectTimeout
        ));
        assert!(matches!(rejected(builder().only_own_roots()), TransportError::NoRoots));
        for pem in ["", "no pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            let error = rejected(builder().root_certificates(pem));
            assert!(matches!(error, TransportError::NotACertificate), "{pem:?}: {error:?}");
        }
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = rejected(builder().root_certificates(nonsense));
        assert!(matches!(error, TransportError::NotARoot(_)), "{error:?}");
    }

    #[test]
    fn an_unsupported_proxy_is_rejected_without_quoting_its_password() {
        for url in ["", "socks5://u:secret@proxy.test:1080", "ftp://u:secret@proxy.test", "é"] {
            let builder = HttpTransport::builder().proxy(url, "");
            assert!(!format!("{builder:?}").contains("secret"));
            let error = rejected(builder);
            assert!(matches!(error, TransportError::Proxy), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        for url in ["http://u:secret@proxy.test:3128", "https://proxy.test", "proxy.test:3128"] {
            assert!(HttpTransport::builder().proxy(url, "").build().is_ok(), "{url}");
        }
    }
}
