//! Any HTTP service behind one type, so that the stack over it is one type too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use tower_service::Service;

use crate::core::{BoxError, ClassifiedError, Effect, Verdict, verdict_of_error};
use crate::http::ResendBody;

type Responding<B> = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

/// A type-erased HTTP service. Cheap to clone; one allocation per request.
///
/// Its type contains no error type, so that calls over any transport can be spawned: the compiler loses
/// the lifetime of a `BoxError` among the arguments of a type
/// ([rust-lang/rust#130596](https://github.com/rust-lang/rust/issues/130596)).
pub(crate) struct Erased<Q, B>(Arc<dyn Send_<Q, B>>);

trait Send_<Q, B>: Send + Sync {
    fn send(&self, request: Request<Q>) -> Responding<B>;
}

struct Via<S>(S);

impl<S, Q, B> Send_<Q, B> for Via<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
{
    fn send(&self, request: Request<Q>) -> Responding<B> {
        let mut http = self.0.clone();
        Box::pin(async move {
            let ready = http.ready().await.map_err(|error| not_sent(error.into()))?;
            ready.call(request).await.map_err(Into::into)
        })
    }
}

/// A service that failed to become ready has sent nothing.
fn not_sent(error: BoxError) -> BoxError {
    let verdict = verdict_of_error(&*error).unwrap_or(Verdict::unknown());
    ClassifiedError::new(verdict.effect(Effect::None), error).into()
}

impl<Q: Send + 'static, B: 'static> Erased<Q, B> {
    pub(super) fn new<S>(http: S) -> Self
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        Self(Arc::new(Via(http)))
    }
}

/// The body of a request that a stack takes: `Full<Bytes>`, as the typed client sends it, or a
/// [`RequestBody`](crate::http::RequestBody), which may be a stream.
pub trait SendBody: ResendBody + From<Full<Bytes>> + Send + 'static {}

impl<Q: ResendBody + From<Full<Bytes>> + Send + 'static> SendBody for Q {}

/// What the stack sends requests by: a [`Transport`] has one body, whatever the client.
pub(crate) type Transport<Q> = Erased<Q, Body>;

pub(super) fn transport<S, Q, B>(http: S) -> Transport<Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let boxed: fn(Response<B>) -> Response<Body> = |response| response.map(Body::new);
    Erased::new(http.map_response(boxed))
}

impl<Q, B> Service<Request<Q>> for Erased<Q, B> {
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Responding<B>;

    /// The service becomes ready within the future of the call, after admission.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        self.0.send(request)
    }
}

impl<Q, B> Clone for Erased<Q, B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, B> std::fmt::Debug for Erased<Q, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Erased").finish_non_exhaustive()
    }
}

/// The body of a response, whatever the transport.
#[derive(Debug)]
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    /// Any body, boxed.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
