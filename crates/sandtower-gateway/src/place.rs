//! A place: one E2B, and the connections to it.

use std::sync::Arc;

use sandtower::e2b::HttpTransport;

use crate::addresses::Addresses;
use crate::config::{ConfigError, Upstream};
use crate::keys::TenantId;

/// The name of the place in the section `upstream`.
pub(crate) const HOME: &str = "home";

/// One E2B with its own keys, templates and sandboxes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Addresses,
    /// Of each worker, and last those of operators.
    transports: Box<[HttpTransport]>,
}

impl Place {
    /// The one that `section` of the configuration describes.
    pub(crate) fn new(
        name: &str,
        section: &str,
        upstream: &Upstream,
        workers: usize,
    ) -> Result<Self, ConfigError> {
        let addresses = upstream.addresses(section)?;
        let transports = (0..=workers).map(|_| transport(section, upstream));
        Ok(Self { name: name.into(), addresses, transports: transports.collect::<Result<_, _>>()? })
    }

    pub(crate) fn is_home(&self) -> bool {
        &*self.name == HOME
    }

    /// How many workers have connections.
    pub(crate) fn workers(&self) -> usize {
        self.transports.len() - 1
    }

    /// The connections of a worker.
    pub(crate) fn transport(&self, worker: usize) -> &HttpTransport {
        &self.transports[worker]
    }

    /// The connections of operators.
    pub(crate) fn operators(&self) -> &HttpTransport {
        &self.transports[self.workers()]
    }

    /// Whose stack that of `key` is here: keys of two places may have the same value.
    pub(crate) fn tenant(&self, key: &str) -> TenantId {
        match self.is_home() {
            true => TenantId::of(key.as_bytes()),
            false => TenantId::of(format!("{}\0{key}", self.name).as_bytes()),
        }
    }
}

fn transport(section: &str, upstream: &Upstream) -> Result<HttpTransport, ConfigError> {
    let mut builder = HttpTransport::builder().idle_per_host(upstream.idle_connections);
    if let Some(file) = &upstream.root_certificates {
        let pem = std::fs::read(file).map_err(|error| {
            let why = format!("{} cannot be read: {error}", file.display());
            ConfigError::new(format!("{section}.root_certificates"), why)
        })?;
        builder = builder.root_certificates(pem);
    }
    if upstream.only_own_roots {
        builder = builder.only_own_roots();
    }
    builder = match upstream.proxy.as_deref() {
        None => builder,
        Some("none") => builder.no_proxy(),
        Some(proxy) => builder.proxy(proxy, &upstream.no_proxy),
    };
    builder.build().map_err(|error| ConfigError::new(section, error))
}
