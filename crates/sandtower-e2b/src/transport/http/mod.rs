//! The transport for the client: HTTP over the network.

mod body;
mod builder;
mod connect;
mod pools;
mod route;
mod upload;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response};
use hyper_util::client::legacy;
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, CallerError, RequestInfo, Tick};
use sandtower_http::RequestBody;
use tower_service::Service;

use self::pools::Pools;
use self::upload::{BodyFailed, Upload};
use crate::api::sent::Sent;
use crate::{Config, Progress};

pub use body::TransportBody;
pub use builder::{HttpTransportBuilder, TransportError};
pub use connect::ConnectTimedOut;

/// Sends requests over HTTP/1.1 and HTTP/2, with and without TLS: hyper-util's client with rustls and
/// ring.
///
/// Clones share one connection pool. A server that offers HTTP/2 in its TLS handshake gets it, with one
/// connection for all requests to the host; others get HTTP/1.1. Each sandbox has its own host, so the
/// first request to it always opens a connection.
///
/// Certificates are verified against Mozilla's roots, which are compiled in, so it works in containers
/// without a certificate store. [`HttpTransportBuilder::root_certificates`] adds others. Proxies come from
/// the environment, as with `curl`, unless the [builder](Self::builder) sets one; only a proxy that is used
/// for a host has to be valid.
///
/// It is always ready, and limits nothing: put the layers above it. Its errors tell
/// [whether the request left](sandtower_http::verdict_of_transport). Bodies are whole, as `Full` is, or
/// streams: see [`RequestBody`]. A stream that fails ends its call as
/// [cancelled](sandtower_core::Verdict::cancelled). A connection is made in a task
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
    pools: Arc<Pools>,
    route: route::Route,
}

impl HttpTransport {
    /// The transport with the defaults of the [builder](Self::builder).
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, TransportError> {
        Self::builder().build()
    }

    /// Checks that the hosts of `config` can be reached as configured, through the proxy of each if there
    /// is one. Sends nothing.
    ///
    /// Call it on startup; a request to such a host fails with the same error.
    ///
    /// # Errors
    ///
    /// The environment has an invalid proxy for one of the hosts.
    pub fn check(&self, config: &Config) -> Result<(), TransportError> {
        config.origins().iter().try_for_each(|host| self.route.check(host))
    }

    /// A builder, to change how connections are opened and kept.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }
}

impl<Q: Into<RequestBody>> Service<Request<Q>> for HttpTransport {
    type Response = Response<TransportBody>;
    type Error = BoxError;
    type Future = TransportFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> TransportFuture {
        let host = request.uri().authority();
        let is_open_ended =
            request.extensions().get::<RequestInfo>().is_some_and(|info| info.open_ended);
        let watch = host.filter(|_| !is_open_ended).map(|host| Watch {
            pools: Arc::clone(&self.pools),
            host: host.clone(),
            sent: Tick::now(),
        });
        let progress = request.extensions().get::<Progress>().cloned();
        Sent::mark(request.extensions());
        let mut body_failed = BodyFailed::default();
        let request = request.map(|body| Upload::new(body.into(), progress, &mut body_failed));
        TransportFuture { future: self.pools.send(request), watch, body_failed }
    }
}

/// A request that was dropped sooner is no evidence about its connection: its caller went away.
const SILENT: Duration = Duration::from_secs(1);

/// After a request timed out, keeps other requests off the connections that may be dead.
struct Watch {
    pools: Arc<Pools>,
    host: Authority,
    sent: Tick,
}

impl Watch {
    /// The response or an error arrived.
    fn disarm(mut self) {
        self.sent = Tick::MAX;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if Tick::now().since(self.sent) >= SILENT {
            self.pools.silent(&self.host, self.sent);
        }
    }
}

impl std::fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

pin_project! {
    /// The response to a request of an [`HttpTransport`].
    ///
    /// If it is dropped after 1 s or more without a response, later requests to the host use new
    /// connections, unless the request is [open-ended](RequestInfo::open_ended).
    #[must_use = "futures do nothing unless polled"]
    pub struct TransportFuture {
        #[pin]
        future: legacy::ResponseFuture,
        watch: Option<Watch>,
        body_failed: BodyFailed,
    }
}

impl Future for TransportFuture {
    type Output = Result<Response<TransportBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = std::task::ready!(this.future.poll(cx));
        if let Some(watch) = this.watch.take() {
            watch.disarm();
        }
        Poll::Ready(match response {
            Ok(response) => Ok(TransportBody::response(response)),
            // Over HTTP/2 the error is that of a stream that was reset, whoever reset it.
            Err(error) if this.body_failed.get() => Err(CallerError::new(error).into()),
            Err(error) => Err(error.into()),
        })
    }
}

impl std::fmt::Debug for TransportFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportFuture").finish_non_exhaustive()
    }
}
