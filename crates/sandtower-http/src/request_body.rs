use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use sandtower_core::BoxError;

use crate::CallerBody;

/// A request body that says whether it can be sent again.
///
/// Every `Clone` body can. [`Http`](crate::Http) copies requests by this.
#[diagnostic::on_unimplemented(
    message = "a request with a body of type `{Self}` cannot be sent again by `Http`",
    note = "it needs `Clone`, as `http_body_util::Full` has it; `RequestBody` holds any body"
)]
pub trait ResendBody: Sized {
    /// The same body once more; `None`: it is sent once.
    fn resend(&self) -> Option<Self>;
}

impl<B: Clone> ResendBody for B {
    fn resend(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// The body of a request of either kind: whole, so that it can be sent again, or a stream that is sent
/// once.
///
/// For a proxy, which has one type of request for short messages and for uploads of any length. An error of
/// a stream is marked as the caller's own, as by [`CallerBody`]: the call is then
/// [cancelled](sandtower_core::Verdict::cancelled), which says nothing about the service.
///
/// ```
/// use http_body_util::Full;
/// use sandtower_http::{RequestBody, ResendBody};
///
/// let whole = RequestBody::whole("to be sent");
/// assert!(whole.resend().is_some());
/// let stream = RequestBody::stream(Full::<bytes::Bytes>::from("to be sent"));
/// assert!(stream.resend().is_none());
/// ```
pub struct RequestBody(Kind);

enum Kind {
    Whole(Full<Bytes>),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl RequestBody {
    /// A body that is there as a whole. Costs no allocation.
    pub fn whole(body: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Full::new(body.into())))
    }

    /// A body that is sent once, as it comes. Costs one allocation.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(CallerBody::new(body).boxed_unsync()))
    }

    /// Whether it is a stream, which is sent once.
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream(_))
    }
}

impl ResendBody for RequestBody {
    fn resend(&self) -> Option<Self> {
        match &self.0 {
            Kind::Whole(body) => Some(Self(Kind::Whole(body.clone()))),
            Kind::Stream(_) => None,
        }
    }
}

impl From<Full<Bytes>> for RequestBody {
    fn from(body: Full<Bytes>) -> Self {
        Self(Kind::Whole(body))
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self(Kind::Whole(Full::default()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(body) => body.is_end_stream(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => body.size_hint(),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

/// Bodies may hold secrets: only the kind is shown.
impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_stream() { "Stream" } else { "Whole" })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use http::Request;
    use sandtower_core::{Outcome, Resend};

    use super::*;
    use crate::{Http, verdict_of_transport};

    fn first(body: RequestBody) -> Option<Result<Frame<Bytes>, BoxError>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match pin!(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => panic!("nothing to wait for"),
        }
    }

    #[test]
    fn a_request_is_copied_if_its_body_is_whole() {
        let whole = Request::put("/a").header("x", "y").body(RequestBody::whole("abc")).unwrap();
        let copy = Http.copy(&whole).unwrap();
        assert_eq!((copy.uri().path(), &copy.headers()["x"]), ("/a", &"y".parse().unwrap()));
        assert_eq!(first(copy.into_body()).unwrap().unwrap().into_data().unwrap(), "abc");

        let stream = whole.map(RequestBody::stream);
        assert!(Http.copy(&stream).is_none());
        assert_eq!(first(stream.into_body()).unwrap().unwrap().into_data().unwrap(), "abc");
    }

    #[test]
    fn an_error_of_a_stream_is_the_callers() {
        struct Broken;
        impl Body for Broken {
            type Data = Bytes;
            type Error = std::io::Error;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionRefused.into())))
            }
        }
        let error = first(RequestBody::stream(Broken)).unwrap().unwrap_err();
        assert_eq!(verdict_of_transport(&*error).outcome, Outcome::Cancelled);
    }

    #[test]
    fn debug_shows_no_byte_of_it() {
        assert_eq!(format!("{:?}", RequestBody::whole("secret")), "Whole");
    }
}
