//! Servers, a certificate authority and a proxy for the tests.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

/// Signs certificates for 127.0.0.1.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[derive(Clone, Default)]
struct Counts {
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// Responds to every request with its HTTP version.
pub(crate) struct Server {
    pub(crate) uri: String,
    counts: Counts,
}

impl Server {
    pub(crate) async fn plain() -> Self {
        Self::start("http", serve).await
    }

    pub(crate) async fn tls(authority: &Authority, protocols: &[&str]) -> Self {
        let acceptor = authority.acceptor(protocols);
        Self::start("https", move |stream, counts| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, counts).await;
                }
            }
        })
        .await
    }

    /// Responds on each of its first `connections`, which then fall silent; later connections work as before.
    pub(crate) async fn whose_first_connections_die(connections: usize) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        Self::start("http", move |mut stream, counts| {
            let dies = seen.fetch_add(1, SeqCst) < connections;
            async move {
                if !dies {
                    return serve(stream, counts).await;
                }
                let _ = read_head(&mut stream).await;
                counts.requests.fetch_add(1, SeqCst);
                // The other requests start meanwhile, so that each has its own connection.
                while counts.requests.load(SeqCst) < connections {
                    tokio::task::yield_now().await;
                }
                let _ = stream.write_all(OK).await;
                // Dead: nothing is read, nothing is said, and it is not closed.
                std::future::pending::<()>().await;
            }
        })
        .await
    }

    /// Reads a request of this length, its body once notified, and responds at its end.
    pub(crate) async fn that_reads_when_notified(
        length: usize,
        begun: Arc<Notify>,
        reads: Arc<Notify>,
    ) -> Self {
        Self::start("http", move |mut stream, _| {
            let (begun, reads) = (Arc::clone(&begun), Arc::clone(&reads));
            async move {
                let head = read_head(&mut stream).await.unwrap();
                let begins = head.find("\r\n\r\n").unwrap() + 4;
                let (mut read, mut buffer) = (head.len() - begins, vec![0; 64 << 10]);
                begun.notify_one();
                reads.notified().await;
                while read < length {
                    match stream.read(&mut buffer).await {
                        Ok(more) if more > 0 => read += more,
                        _ => return,
                    }
                }
                let _ = stream.write_all(OK).await;
            }
        })
        .await
    }

    /// Responds with half of the announced body.
    pub(crate) async fn whose_bodies_break(length: usize) -> Self {
        Self::start("http", move |mut stream, _| async move {
            let _ = read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&vec![b'x'; length / 2]).await;
        })
        .await
    }

    /// Reads a request and closes the connection.
    pub(crate) async fn that_hangs_up() -> Self {
        Self::start("http", async |mut stream, _| drop(read_head(&mut stream).await)).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    async fn start<F>(scheme: &str, serve: impl Fn(TcpStream, Counts) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let counts = Counts::default();
        let counting = counts.clone();
        let address = listen(move |stream| {
            counting.connections.fetch_add(1, SeqCst);
            serve(stream, counting.clone())
        })
        .await;
        Self { uri: format!("{scheme}://{address}/"), counts }
    }
}

async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, counts: Counts) {
    let respond = service_fn(move |request: Request<Incoming>| {
        counts.requests.fetch_add(1, SeqCst);
        let version = format!("{:?}", request.version());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version)))) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // The client closes the connection.
    let _ = server.serve_connection(TokioIo::new(stream), respond).await;
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Tunnels by `CONNECT`, given the right credentials.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(credentials: Option<&'static str>) -> Self {
        let tunnels = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&tunnels);
        let address = listen(move |mut stream| {
            let counting = Arc::clone(&counting);
            async move {
                let head = read_head(&mut stream).await.unwrap();
                let shown =
                    head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
                if credentials.is_some() && shown != credentials {
                    let rejection = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                    let _ = stream.write_all(rejection).await;
                    return;
                }
                let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
                let mut server = TcpStream::connect(to.unwrap()).await.unwrap();
                counting.fetch_add(1, SeqCst);
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
        })
        .await;
        Self { address, tunnels }
    }

    pub(crate) fn tunnels(&self) -> usize {
        self.tunnels.load(SeqCst)
    }
}
