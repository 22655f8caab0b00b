//! The rest of an upload whose response is there before its end.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// What is read of the rest. A longer one ends with the connection, as without this.
const MOST: usize = 1_024 * 1_024;
const LONGEST: Duration = Duration::from_secs(2);

/// A body whose rest is read and discarded when it is dropped before its end.
///
/// A server that closes a connection with bytes unread resets it, and a client that is still sending then
/// sees the reset in place of the response.
pub(super) struct Lingering<B: Body<Data = Bytes> + Send + Unpin + 'static>(Option<B>);

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Lingering<B> {
    pub(super) fn new(body: B) -> Self {
        Self(Some(body))
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        let rest = mem::take(&mut self.0).filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            // Not awaited: it ends by itself, and a runtime that ends takes it along.
            drop(runtime.spawn(tokio::time::timeout(LONGEST, discard(rest))));
        }
    }
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut left = MOST;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return };
        left = less;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use tokio::sync::mpsc;

    use super::*;

    struct Frames(mpsc::Receiver<Bytes>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    fn piece() -> Bytes {
        Bytes::from_static(&[0; 256 * 1_024])
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_read_up_to_a_length() {
        let (sender, receiver) = mpsc::channel(1);
        drop(Lingering::new(Frames(receiver)));
        let mut sent = 0;
        while sender.send(piece()).await.is_ok() {
            sent += 1;
        }
        assert!((5..=7).contains(&sent), "{sent} pieces of a quarter of the most");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_does_not_come_is_not_awaited_for_long() {
        let (sender, receiver) = mpsc::channel(1);
        drop(Lingering::new(Frames(receiver)));
        tokio::time::timeout(LONGEST + Duration::from_secs(1), sender.closed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_nothing() {
        let mut body = Lingering::new(Full::<Bytes>::from("ab"));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
    }
}
