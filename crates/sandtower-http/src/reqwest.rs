use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use sandtower_core::{BoxError, ClassifiedError, Effect, Verdict};
use tower_service::Service;

use crate::TransportFault;

/// A [`reqwest::Client`] as a service of `http` requests, for layers to stack on.
///
/// reqwest has retries and redirects of its own, below every layer:
///
/// | of reqwest | with [`build`](Self::build) and [`new`](Self::new) | with a client of your own |
/// |---|---|---|
/// | retries (HTTP/2 only, in small numbers by default) | off: layers that count attempts see all of them | build it with `.retry(reqwest::retry::never())` |
/// | redirects (up to 10 by default) | off: a 3xx is a response like any other | each error may have had an effect, since the request that failed may be the one after a redirect |
/// | timeouts | as the builder says; leave them to a `TimeoutLayer`, which sees them as such | the same |
///
/// A connection that could not be made is a transient failure without effect: any request is retried
/// after it. The body of a request has to be `Send + Sync`.
///
/// ```no_run
/// use http::Request;
/// use sandtower_http::Reqwest;
/// use sandtower_retry::Config;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # async fn example() -> Result<(), sandtower_core::BoxError> {
/// let builder = reqwest::Client::builder().user_agent("search/1.0");
/// let service = ServiceBuilder::new()
///     .layer(sandtower_http::retry_layer(Config::recommended()))
///     .service(Reqwest::build(builder)?);
///
/// let request = Request::get("https://example.com/").body(String::new())?;
/// let response = reqwest::Response::from(service.oneshot(request).await?);
/// println!("{}", response.text().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reqwest {
    client: reqwest::Client,
    follows_redirects: bool,
}

impl Reqwest {
    /// A client with reqwest's defaults, without its retries and redirects.
    ///
    /// # Errors
    ///
    /// TLS or the resolver cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::build(reqwest::Client::builder())
    }

    /// A client built by `builder`, whose retries and redirects are turned off.
    ///
    /// # Errors
    ///
    /// The client cannot be built; see [`reqwest::ClientBuilder::build`].
    pub fn build(builder: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        let builder = builder.retry(reqwest::retry::never());
        let client = builder.redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, follows_redirects: false })
    }

    fn classified(&self, error: reqwest::Error) -> BoxError {
        // A fault that its chain shows says more than that there was no connection.
        let is_of_this_request = !self.follows_redirects;
        if error.is_connect() && is_of_this_request && TransportFault::of(&error).is_none() {
            return ClassifiedError::new(Verdict::transient(Effect::None), error).into();
        }
        error.into()
    }
}

/// A client that may follow redirects, and retry: its errors may have had an effect.
impl From<reqwest::Client> for Reqwest {
    fn from(client: reqwest::Client) -> Self {
        Self { client, follows_redirects: true }
    }
}

impl<B> Service<Request<B>> for Reqwest
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<reqwest::Body>;
    type Error = BoxError;
    type Future = ReqwestFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ReqwestFuture {
        let service = self.clone();
        let request = request.map(reqwest::Body::wrap);
        ReqwestFuture(Box::pin(async move {
            match service.client.execute(request.try_into()?).await {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(service.classified(error)),
            }
        }))
    }
}

/// The response of a [`Reqwest`].
#[must_use = "futures do nothing unless polled"]
pub struct ReqwestFuture(Boxed);

type Boxed = Pin<Box<dyn Future<Output = Result<Response<reqwest::Body>, BoxError>> + Send>>;

impl Future for ReqwestFuture {
    type Output = Result<Response<reqwest::Body>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for ReqwestFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReqwestFuture").finish_non_exhaustive()
    }
}
