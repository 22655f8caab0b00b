use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use sandtower_core::BoxError;
use tower_service::Service;

/// The way to a server: straight, or by a tunnel through a proxy.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) http: HttpConnector,
    /// Speaks to proxies: in the clear, or by TLS.
    pub(super) to_proxy: HttpsConnector<HttpConnector>,
    pub(super) proxies: Option<Arc<Matcher>>,
}

/// A connection to a server, or a tunnel to it.
pub(super) type Wire = MaybeHttpsStream<<HttpConnector as Service<Uri>>::Response>;

impl Service<Uri> for Route {
    type Response = Wire;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        if let Some(proxy) = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&to)) {
            return Box::pin(tunnel(proxy, self.to_proxy.clone(), to));
        }
        let connecting = self.http.call(to);
        Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
    }
}

async fn tunnel(
    proxy: Intercept,
    to_proxy: HttpsConnector<HttpConnector>,
    to: Uri,
) -> Result<Wire, BoxError> {
    let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    poll_fn(|cx| tunnel.poll_ready(cx)).await?;
    Ok(tunnel.call(with_port(to)).await?)
}

/// The tunnel takes a port that is not there for that of TLS.
fn with_port(to: Uri) -> Uri {
    if to.port().is_some() || to.scheme() != Some(&Scheme::HTTP) {
        return to;
    }
    let mut parts = to.clone().into_parts();
    let authority = parts.authority.as_ref().map(|authority| format!("{authority}:80"));
    parts.authority = authority.and_then(|text| text.parse::<Authority>().ok());
    Uri::from_parts(parts).unwrap_or(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_without_tls_leads_to_the_port_of_http() {
        for (to, expected) in [
            ("http://api.test/x", "http://api.test:80/x"),
            ("http://api.test:81/x", "http://api.test:81/x"),
            ("https://api.test/x", "https://api.test/x"),
        ] {
            assert_eq!(with_port(to.parse().unwrap()), expected);
        }
    }
}
