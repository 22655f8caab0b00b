use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use sandtower_core::{BoxError, ClassifiedError, Verdict};
use tower_service::Service;

use super::TransportError;

/// The route to a server: direct, or a tunnel through a proxy.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) http: HttpConnector,
    /// Connects to proxies, with or without TLS.
    pub(super) to_proxy: HttpsConnector<HttpConnector>,
    pub(super) proxies: Option<Arc<Matcher>>,
}

impl Route {
    /// Whether `to` can be reached.
    pub(super) fn check(&self, to: &Uri) -> Result<(), TransportError> {
        self.proxy(to).map(drop)
    }

    /// The proxy for `to`.
    fn proxy(&self, to: &Uri) -> Result<Option<Intercept>, TransportError> {
        match self.proxies.as_ref().and_then(|proxies| proxies.intercept(to)) {
            Some(proxy) if !speaks_http(&proxy) => {
                let host = to.host().unwrap_or_default().to_owned();
                Err(TransportError::ProxyOfTheEnvironment { host })
            }
            proxy => Ok(proxy),
        }
    }
}

/// Whether `proxy` supports tunnels.
pub(super) fn speaks_http(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("http" | "https"))
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
        match self.proxy(&to) {
            Ok(Some(proxy)) => return Box::pin(tunnel(proxy, self.to_proxy.clone(), to)),
            Ok(None) => {}
            Err(unusable) => {
                let never = ClassifiedError::new(Verdict::permanent(), unusable);
                return Box::pin(std::future::ready(Err(never.into())));
            }
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

/// A tunnel without an explicit port uses that of TLS.
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

    fn through(proxies: Matcher) -> Route {
        let straight = crate::HttpTransport::builder().no_proxy().build().unwrap().route;
        Route { proxies: Some(Arc::new(proxies)), ..straight }
    }

    #[test]
    fn only_the_proxy_of_a_host_has_to_be_valid() {
        let (socks, http) = ("socks5://proxy.test:1080", "http://proxy.test:3128");
        let builder = Matcher::builder;
        for (proxies, to, is_reached) in [
            (builder().all(socks).https(http), "https://api.e2b.app/", true),
            (builder().all(socks).https(http), "http://127.0.0.1:3000/", false),
            (builder().all(socks), "https://api.e2b.app/", false),
            (builder().all(socks).no("e2b.app"), "https://api.e2b.app/", true),
            (builder().http(socks), "https://api.e2b.app/", true),
            (builder().https(socks).all(http), "https://api.e2b.app/", false),
        ] {
            let checked = through(proxies.build()).check(&to.parse().unwrap());
            assert_eq!(checked.is_ok(), is_reached, "{to}: {checked:?}");
        }
    }

    #[test]
    fn a_tunnel_without_tls_uses_the_port_of_http() {
        for (to, expected) in [
            ("http://api.test/x", "http://api.test:80/x"),
            ("http://api.test:81/x", "http://api.test:81/x"),
            ("https://api.test/x", "https://api.test/x"),
        ] {
            assert_eq!(with_port(to.parse().unwrap()), expected);
        }
    }
}
