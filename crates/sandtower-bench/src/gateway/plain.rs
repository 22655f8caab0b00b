use std::future::pending;
use std::net::SocketAddr;

use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sandtower::core::BoxError;
use sandtower::e2b::{HttpTransport, TransportBody};
use sandtower::http::RequestBody;
use tower::ServiceExt;

use super::workers;

/// Serves a proxy of the gateway's shape that has no layers, and knows nothing of E2B: one runtime and one
/// transport per processor. Does not return.
///
/// # Errors
///
/// It cannot listen at `listen`.
pub fn serve_plain(listen: SocketAddr, upstream: &str) -> Result<(), BoxError> {
    let upstream: Authority = upstream.parse()?;
    let transport = || HttpTransport::builder().no_proxy().idle_per_host(512).build();
    let transports: Vec<_> =
        (0..workers::count()).map(|_| transport()).collect::<Result<_, _>>()?;
    workers::listen(listen, move |worker, stream| {
        let (http, upstream) = (transports[worker].clone(), upstream.clone());
        let service = service_fn(move |request| pass(http.clone(), upstream.clone(), request));
        async move {
            let server = auto::Builder::new(TokioExecutor::new()).http1_only();
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }
    })?;
    workers::runtime()?.block_on(pending::<()>());
    Ok(())
}

async fn pass(
    http: HttpTransport,
    upstream: Authority,
    request: Request<Incoming>,
) -> Result<Response<TransportBody>, BoxError> {
    let (mut head, body) = request.into_parts();
    let mut to = http::uri::Parts::default();
    (to.scheme, to.authority) = (Some(Scheme::HTTP), Some(upstream));
    let path = head.uri.path_and_query().cloned();
    to.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    (head.uri, head.version) = (Uri::from_parts(to)?, Version::HTTP_11);
    head.headers.remove(HOST);
    head.headers.remove(CONNECTION);
    let body = match http_body::Body::is_end_stream(&body) {
        true => RequestBody::default(),
        false => RequestBody::stream(body),
    };
    let mut response = http.oneshot(Request::from_parts(head, body)).await?;
    response.headers_mut().remove(CONNECTION);
    Ok(response)
}
