use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use sandtower_core::{Attempt, Sleep, Tick};
use sandtower_retry::{Config, ResponseHooks, RetryLayer};

use crate::{Http, HttpClassify};

/// The most bytes that are read of a discarded response: beyond that a new connection is cheaper.
const MOST: u64 = 16 * 1_024;
/// The most frames.
const MOST_FRAMES: u32 = 256;
/// The longest time.
const LONGEST: Duration = Duration::from_secs(1);

/// A layer that retries HTTP requests as `config` says: idempotent methods are replayed, responses are
/// classified by [`HttpClassify`], and the short rest of a failed response is read so that its connection
/// can be reused.
///
/// The body of requests has to be `Clone`. For other bodies place a [`ReplayLayer`](crate::ReplayLayer)
/// above it and call `.resend(Replayed)`.
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::{Empty, Full};
/// use sandtower_retry::Config;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sandtower_core::BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(sandtower_http::retry_layer(Config::recommended()))
///     .service(service_fn(|request: Request<Full<Bytes>>| async move {
///         let mut response = Response::new(Empty::<Bytes>::new());
///         if !request.extensions().get::<sandtower_core::Attempt>().is_some() {
///             *response.status_mut() = StatusCode::BAD_GATEWAY;
///         }
///         Ok::<_, Infallible>(response)
///     }));
///
/// let response = service.oneshot(Request::get("/").body(Full::default())?).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
pub fn retry_layer(config: Config) -> RetryLayer<HttpClassify, Http, Http> {
    RetryLayer::new(config, HttpClassify::default()).resend(Http).response_hooks(Http)
}

/// Response hooks for HTTP: the short rest of a failed response is read, so that its connection can be
/// reused; the response for the caller gets its [`Attempt`] as an extension.
impl<B: Body> ResponseHooks<Response<B>> for Http {
    type Discard = Drain<B>;

    fn discard(&self, response: Response<B>) -> Drain<B> {
        let body = response.into_body();
        let is_small = body.size_hint().lower() <= MOST && !body.is_end_stream();
        Drain {
            limit: Sleep::until(Tick::now() + LONGEST),
            body: is_small.then_some(body),
            bytes: MOST,
            frames: MOST_FRAMES,
        }
    }

    fn stamp(&self, response: &mut Response<B>, attempt: &Attempt) {
        response.extensions_mut().insert(*attempt);
    }
}

pin_project! {
    /// Reads the rest of a discarded body, at most 16 KiB within 1 s, and drops it. If it is longer or
    /// slower, the connection is closed.
    #[must_use = "futures do nothing unless polled"]
    pub struct Drain<B> {
        #[pin]
        body: Option<B>,
        bytes: u64,
        frames: u32,
        #[pin]
        limit: Sleep,
    }
}

impl<B: Body> Future for Drain<B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while let Some(body) = this.body.as_mut().as_pin_mut() {
            let has_more = match body.poll_frame(cx) {
                Poll::Pending if this.limit.as_mut().poll(cx).is_pending() => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    let len = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    let left = this.bytes.checked_sub(len).zip(this.frames.checked_sub(1));
                    left.map(|left| (*this.bytes, *this.frames) = left).is_some()
                }
                Poll::Pending | Poll::Ready(_) => false,
            };
            if !has_more {
                // At once: the future may be kept for longer.
                this.body.set(None);
            }
        }
        Poll::Ready(())
    }
}

impl<B> std::fmt::Debug for Drain<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drain")
            .field("over", &self.body.is_none())
            .field("bytes_left", &self.bytes)
            .finish_non_exhaustive()
    }
}
