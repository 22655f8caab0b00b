use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const DOMAIN: &str = "gw.example";

/// A certificate in files, gone with this.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    /// The certificate and its key.
    pub(crate) files: [PathBuf; 2],
}

impl Certificate {
    pub(crate) fn new(name: &str) -> Self {
        let file = |kind| {
            let file = format!("sandtower-{}-{name}.{kind}.pem", std::process::id());
            std::env::temp_dir().join(file)
        };
        let files = [file("cert"), file("key")];
        let mut new = Self { der: CertificateDer::from(Vec::new()), files };
        new.renew();
        new
    }

    /// Writes another certificate into the files.
    pub(crate) fn renew(&mut self) {
        let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(&self.files[0], made.cert.pem()).unwrap();
        std::fs::write(&self.files[1], made.signing_key.serialize_pem()).unwrap();
        self.der = made.cert.der().clone();
    }

    pub(crate) fn settings(&self) -> [String; 3] {
        let [certificate, key] = &self.files;
        [
            format!("domain={DOMAIN}"),
            format!("tls.certificate={}", certificate.display()),
            format!("tls.key={}", key.display()),
        ]
    }

    pub(crate) async fn connect(
        &self,
        gateway: SocketAddr,
        host: &str,
        alpn: &str,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(gateway).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}
