use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Rejection, find};
use tower_layer::Layer;
use tower_service::Service;

use crate::rejection_response;

/// Turns rejections into responses: see [`RejectionResponse`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionResponseLayer {
    form: Form,
}

#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    Json,
    #[cfg(feature = "tonic")]
    Grpc,
}

impl RejectionResponseLayer {
    /// Responds as [`rejection_response`] does.
    pub const fn new() -> Self {
        Self { form: Form::Json }
    }

    /// Responds as [`rejection_grpc`](crate::rejection_grpc) does, for gRPC services.
    #[cfg(feature = "tonic")]
    pub const fn grpc() -> Self {
        Self { form: Form::Grpc }
    }
}

impl<S> Layer<S> for RejectionResponseLayer {
    type Service = RejectionResponse<S>;

    fn layer(&self, inner: S) -> RejectionResponse<S> {
        RejectionResponse { inner, form: self.form }
    }
}

/// For servers built on these layers, such as those of Axum: an error with a [`Rejection`] in its chain
/// becomes a response with a status and the time to retry. Every other error passes unchanged.
///
/// Under Axum place it below `HandleErrorLayer`, which handles the remaining errors.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use sandtower_core::{BoxError, Reason, Rejection};
/// use sandtower_http::RejectionResponseLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let draining = service_fn(async |_: Request<()>| {
///     Err::<Response<Full<Bytes>>, BoxError>(Rejection::new("admission", "E2B", Reason::Draining).into())
/// });
/// let service = RejectionResponseLayer::new().layer(draining);
/// let response = service.oneshot(Request::new(())).await?;
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RejectionResponse<S> {
    inner: S,
    form: Form,
}

impl<S, Req, B> Service<Req> for RejectionResponse<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<RejectionResponseBody<B>>;
    type Error = BoxError;
    type Future = RejectionResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        RejectionResponseFuture { future: self.inner.call(request), form: self.form }
    }
}

pin_project! {
    /// The response of the service, or that of a rejection.
    ///
    /// # Panics
    ///
    /// If polled after completion, if the future below panics then.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RejectionResponseFuture<F> {
        #[pin]
        future: F,
        form: Form,
    }
}

impl<F, B, E> Future for RejectionResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<RejectionResponseBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let error: BoxError = match ready!(this.future.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response.map(RejectionResponseBody::below))),
            Err(error) => error.into(),
        };
        Poll::Ready(match find::<Rejection>(&*error) {
            Some(rejection) => {
                Ok(this.form.response(rejection).map(RejectionResponseBody::rejection))
            }
            None => Err(error),
        })
    }
}

impl Form {
    fn response(self, rejection: &Rejection) -> Response<Full<Bytes>> {
        match self {
            Self::Json => rejection_response(rejection),
            #[cfg(feature = "tonic")]
            Self::Grpc => crate::rejection_grpc(rejection).into_http(),
        }
    }
}

pin_project! {
    /// The body of a response from below, or of a rejection.
    #[derive(Debug)]
    pub struct RejectionResponseBody<B> {
        #[pin]
        body: Either<B>,
    }
}

pin_project! {
    #[project = EitherProj]
    #[derive(Debug)]
    enum Either<B> {
        Below { #[pin] body: B },
        Rejection { #[pin] body: Full<Bytes> },
    }
}

impl<B> RejectionResponseBody<B> {
    fn below(body: B) -> Self {
        Self { body: Either::Below { body } }
    }

    fn rejection(body: Full<Bytes>) -> Self {
        Self { body: Either::Rejection { body } }
    }
}

impl<B: Body<Data = Bytes>> Body for RejectionResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().body.project() {
            EitherProj::Below { body } => body.poll_frame(cx),
            EitherProj::Rejection { body } => {
                body.poll_frame(cx).map_err(|infallible| match infallible {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Either::Below { body } => body.is_end_stream(),
            Either::Rejection { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Either::Below { body } => body.size_hint(),
            Either::Rejection { body } => body.size_hint(),
        }
    }
}
