use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use sandtower_core::BoxError;
use tower_service::Service;

use crate::transport::within::within;

use super::route::{Route, Wire};

/// The connection was not established in time. The request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no connection came about within {after:?}")]
#[non_exhaustive]
pub struct ConnectTimedOut {
    /// The timeout.
    pub after: Duration,
}

/// Opens connections: DNS, TCP, proxy and TLS handshake within one timeout.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) https: HttpsConnector<Route>,
    pub(super) limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Wire>;
    type Error = BoxError;
    // Boxed because hyper-util requires `Unpin`; the futures inside are boxed as well.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, after) = (self.https.call(to), self.limit);
        Box::pin(async move {
            let connected = within(Some(after), connecting).await;
            connected.unwrap_or_else(|| Err(ConnectTimedOut { after }.into()))
        })
    }
}
