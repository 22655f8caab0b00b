//! A transport to give to the client.

mod body;
mod builder;
mod connect;
mod route;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy;
use pin_project_lite::pin_project;
use sandtower_core::BoxError;
use tower_service::Service;

use self::connect::Connector;

pub use body::TransportBody;
pub use builder::{HttpTransportBuilder, TransportError};
pub use connect::ConnectTimedOut;

/// Sends requests over HTTP/1.1 and HTTP/2, with and without TLS: hyper-util's client over rustls
/// with ring.
///
/// All clones share one pool of connections. A server that offers HTTP/2 in its TLS handshake gets
/// it, and one connection carries all requests to its host; others get HTTP/1.1. Each sandbox is a
/// host of its own, so its first request always connects.
///
/// Certificates are checked against Mozilla's roots, which are compiled in: a container without a
/// certificate store works like any other machine. [`HttpTransportBuilder::root_certificates`] adds
/// others. Proxies are those of the environment, as with `curl`, unless the
/// [builder](Self::builder) says otherwise.
///
/// It is always ready, and limits nothing: put the layers above it. Its errors tell
/// [whether the request left](sandtower_http::verdict_of_transport). A connection is made in a task
/// of its own: dropping the future of a call keeps it for the next.
///
/// ```no_run
/// use sandtower_e2b::{Client, Config, HttpTransport};
///
/// # fn main() -> Result<(), sandtower_core::BoxError> {
/// let client = Client::new(HttpTransport::new()?, Config::from_env()?);
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpTransport {
    client: legacy::Client<Connector, Full<Bytes>>,
}

impl HttpTransport {
    /// The transport that the [builder](Self::builder) makes when nothing else is said.
    ///
    /// # Errors
    ///
    /// The environment names a proxy that cannot be used.
    pub fn new() -> Result<Self, TransportError> {
        Self::builder().build()
    }

    /// To change how connections are made and kept.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }
}

impl Service<Request<Full<Bytes>>> for HttpTransport {
    type Response = Response<TransportBody>;
    type Error = BoxError;
    type Future = TransportFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> TransportFuture {
        TransportFuture { future: self.client.call(request) }
    }
}

impl std::fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

pin_project! {
    /// The answer to a request that was sent by an [`HttpTransport`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TransportFuture {
        #[pin]
        future: legacy::ResponseFuture,
    }
}

impl Future for TransportFuture {
    type Output = Result<Response<TransportBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.project().future.poll(cx);
        answer.map_ok(|answer| answer.map(TransportBody::new)).map_err(Into::into)
    }
}

impl std::fmt::Debug for TransportFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportFuture").finish_non_exhaustive()
    }
}
