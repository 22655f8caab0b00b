use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sandtower_core::{BoxError, CallerError};

pin_project! {
    /// A request body whose errors are marked as the caller's own.
    ///
    /// Without the mark, a body whose own source could not connect looks like a service that could not be
    /// reached, and the request is retried. With the mark, the call is
    /// [cancelled](sandtower_core::Verdict::cancelled) and is no evidence about the service. Wrap bodies that
    /// can fail where the caller supplies them; a [`ReplayBody`](crate::ReplayBody) marks its errors itself.
    /// same.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use http_body_util::Full;
    /// use sandtower_http::CallerBody;
    ///
    /// let request = Request::put("/file").body(Full::<Bytes>::from("to be sent"))?;
    /// let request = request.map(CallerBody::new);
    /// # Ok::<(), http::Error>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    pub struct CallerBody<B> {
        #[pin]
        body: B,
    }
}

impl<B> CallerBody<B> {
    /// Marks the errors of `body`.
    pub const fn new(body: B) -> Self {
        Self { body }
    }
}

impl<B> Body for CallerBody<B>
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
        self.project().body.poll_frame(cx).map_err(|error| CallerError::new(error).into())
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
