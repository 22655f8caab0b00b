use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, Sleep, Tick};
use tower_layer::Layer;
use tower_service::Service;

/// Limits how long the body of a response may stall.
///
/// The timeout of an attempt ends with the head of its response. With this layer, a body fails with a
/// [`BodyIdle`] if its reader waits longer than `limit` for a frame. The total length and duration of the
/// body are not limited, and the time that the reader takes between frames does not count.
///
/// Place it innermost, below an [interpreter](crate::InterpretLayer), which reports the failed body to
/// the layers above. Requests and heads pass unchanged.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, StreamBody};
/// use sandtower_http::IdleBodyLayer;
/// use tower::{Layer, ServiceExt, service_fn};
/// # use http_body::Frame;
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// # struct Stalled;
/// # impl http_body::Body for Stalled {
/// #     type Data = Bytes;
/// #     type Error = std::io::Error;
/// #     fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
/// #         Poll::Pending
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sandtower_core::BoxError> {
/// # let stalled = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(Stalled)));
/// let service = IdleBodyLayer::new(Duration::from_secs(10)).layer(stalled);
///
/// let response = service.oneshot(Request::new(())).await?;
/// let error = response.into_body().collect().await.err().unwrap();
/// assert_eq!(error.to_string(), "the body of the response stood still for 10s");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IdleBodyLayer {
    limit: Duration,
}

impl IdleBodyLayer {
    /// Fails bodies that stand still for `limit`; [`Duration::MAX`]: none.
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for IdleBodyLayer {
    type Service = IdleBody<S>;

    fn layer(&self, inner: S) -> IdleBody<S> {
        IdleBody { inner, limit: self.limit }
    }
}

/// A service that limits how long response bodies may stall: see [`IdleBodyLayer`].
#[derive(Clone, Copy, Debug)]
pub struct IdleBody<S> {
    inner: S,
    limit: Duration,
}

impl<S, Req, B> Service<Req> for IdleBody<S>
where
    S: Service<Req, Response = Response<B>>,
{
    type Response = Response<MovingBody<B>>;
    type Error = S::Error;
    type Future = IdleBodyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        IdleBodyFuture { future: self.inner.call(request), limit: self.limit }
    }
}

pin_project! {
    /// The response, whose body is watched.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done, if the future below does.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct IdleBodyFuture<F> {
        #[pin]
        future: F,
        limit: Duration,
    }
}

impl<F, B, E> Future for IdleBodyFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<MovingBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        Poll::Ready(Ok(response.map(|body| MovingBody::new(body, *this.limit))))
    }
}

pin_project! {
    /// A body that fails once it has stood still for too long while its reader waits.
    ///
    /// # Panics
    ///
    /// When it has to wait outside a tokio runtime with its timer enabled.
    #[derive(Debug)]
    pub struct MovingBody<B> {
        #[pin]
        body: B,
        limit: Duration,
        #[pin]
        idle: Sleep,
    }
}

impl<B> MovingBody<B> {
    /// `body`, which may stand still for `limit`.
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, idle: Sleep::until(Tick::MAX) }
    }
}

impl<B> Body for MovingBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            this.idle.as_mut().reset(Tick::MAX);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if this.idle.at() == Tick::MAX {
            this.idle.as_mut().reset(Tick::now() + *this.limit);
        }
        ready!(this.idle.poll(cx));
        let idle = io::Error::new(io::ErrorKind::TimedOut, BodyIdle { after: *this.limit });
        Poll::Ready(Some(Err(idle.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response stalled for too long. It is wrapped in an [`io::Error`] of the kind
/// [`TimedOut`](io::ErrorKind::TimedOut), where [`find`](sandtower_core::find) finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyIdle {
    after: Duration,
}

impl BodyIdle {
    /// The limit.
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl std::fmt::Display for BodyIdle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the body of the response stood still for {:?}", self.after)
    }
}

impl std::error::Error for BodyIdle {}
