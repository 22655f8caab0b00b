use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Refusal, find};
use tower_layer::Layer;
use tower_service::Service;

use crate::refusal_response;

/// Turns refusals into answers: see [`AnswerRefusals`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerRefusalsLayer {
    form: Form,
}

#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    Json,
    #[cfg(feature = "tonic")]
    Grpc,
}

impl AnswerRefusalsLayer {
    /// Answers as [`refusal_response`] does.
    pub const fn new() -> Self {
        Self { form: Form::Json }
    }

    /// Answers as [`refusal_grpc`](crate::refusal_grpc) does, for gRPC services.
    #[cfg(feature = "tonic")]
    pub const fn grpc() -> Self {
        Self { form: Form::Grpc }
    }
}

impl<S> Layer<S> for AnswerRefusalsLayer {
    type Service = AnswerRefusals<S>;

    fn layer(&self, inner: S) -> AnswerRefusals<S> {
        AnswerRefusals { inner, form: self.form }
    }
}

/// For a service of yours that stands on our layers, as one of Axum's: an error with a [`Refusal`]
/// in its chain becomes an answer with a status, and when to come back. Every other error passes
/// unchanged.
///
/// Under Axum place it below its `HandleErrorLayer`, which takes what is left.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use sandtower_core::{BoxError, Reason, Refusal};
/// use sandtower_http::AnswerRefusalsLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let draining = service_fn(async |_: Request<()>| {
///     Err::<Response<Full<Bytes>>, BoxError>(Refusal::new("admission", "E2B", Reason::Draining).into())
/// });
/// let service = AnswerRefusalsLayer::new().layer(draining);
/// let answer = service.oneshot(Request::new(())).await?;
/// assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnswerRefusals<S> {
    inner: S,
    form: Form,
}

impl<S, Req, B> Service<Req> for AnswerRefusals<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<AnsweredBody<B>>;
    type Error = BoxError;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Answering { future: self.inner.call(request), form: self.form }
    }
}

pin_project! {
    /// The answer, also to what was refused.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Answering<F> {
        #[pin]
        future: F,
        form: Form,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<AnsweredBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let error: BoxError = match ready!(this.future.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response.map(AnsweredBody::below))),
            Err(error) => error.into(),
        };
        Poll::Ready(match find::<Refusal>(&*error) {
            Some(refusal) => Ok(this.form.answer(refusal).map(AnsweredBody::refusal)),
            None => Err(error),
        })
    }
}

impl Form {
    fn answer(self, refusal: &Refusal) -> Response<Full<Bytes>> {
        match self {
            Self::Json => refusal_response(refusal),
            #[cfg(feature = "tonic")]
            Self::Grpc => crate::refusal_grpc(refusal).into_http(),
        }
    }
}

pin_project! {
    /// The body of an answer from below, or of a refusal.
    #[derive(Debug)]
    pub struct AnsweredBody<B> {
        #[pin]
        body: Either<B>,
    }
}

pin_project! {
    #[project = EitherProj]
    #[derive(Debug)]
    enum Either<B> {
        Below { #[pin] body: B },
        Refusal { #[pin] body: Full<Bytes> },
    }
}

impl<B> AnsweredBody<B> {
    fn below(body: B) -> Self {
        Self { body: Either::Below { body } }
    }

    fn refusal(body: Full<Bytes>) -> Self {
        Self { body: Either::Refusal { body } }
    }
}

impl<B: Body<Data = Bytes>> Body for AnsweredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().body.project() {
            EitherProj::Below { body } => body.poll_frame(cx),
            EitherProj::Refusal { body } => {
                body.poll_frame(cx).map_err(|infallible| match infallible {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Either::Below { body } => body.is_end_stream(),
            Either::Refusal { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Either::Below { body } => body.size_hint(),
            Either::Refusal { body } => body.size_hint(),
        }
    }
}
