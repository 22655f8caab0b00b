use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::config::{ConfigError, Tls};

/// The certificate of the listener, if it has one: new connections take that of now.
#[derive(Default)]
pub(crate) struct TlsSlot(ArcSwapOption<ServerConfig>);

impl TlsSlot {
    pub(crate) fn new(tls: Option<&Tls>) -> Result<Self, ConfigError> {
        let slot = Self::default();
        slot.replace(tls)?;
        Ok(slot)
    }

    /// Reads the certificate; what cannot be used changes nothing.
    pub(crate) fn replace(&self, tls: Option<&Tls>) -> Result<(), ConfigError> {
        self.0.store(tls.map(server_config).transpose()?);
        Ok(())
    }

    pub(super) fn load(&self) -> Option<TlsAcceptor> {
        self.0.load_full().map(TlsAcceptor::from)
    }
}

impl std::fmt::Debug for TlsSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSlot").field("is_set", &self.0.load().is_some()).finish()
    }
}

fn key_problem(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => String::from("it must be the key of the certificate"),
        error => format!("it cannot be used with the certificate: {error}"),
    }
}

fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>, ConfigError> {
    let pem = |name, file: &std::path::Path| {
        std::fs::read(file).map_err(|error| {
            ConfigError::new(name, format!("{} cannot be read: {error}", file.display()))
        })
    };
    let text = pem("tls.certificate", &tls.certificate)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        ConfigError::new("tls.certificate", "it must be one or more certificates in PEM")
    })?;
    let key = PrivateKeyDer::from_pem_slice(&pem("tls.key", &tls.key)?)
        .map_err(|_| ConfigError::new("tls.key", "it must be a private key in PEM"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new("tls", error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| ConfigError::new("tls.key", key_problem(&error)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
