use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::Progress;

/// What is handed to the connection at a time, so that it can be seen to move.
const PIECE: usize = 64 * 1_024;

/// The body of a request, which tells how far it was taken.
pub(super) struct Upload {
    body: Full<Bytes>,
    /// What of it is still to be handed over.
    rest: Bytes,
    progress: Option<Progress>,
}

impl Upload {
    pub(super) fn new(body: Full<Bytes>, progress: Option<Progress>) -> Self {
        Self { body, rest: Bytes::new(), progress }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None => return Poll::Ready(None),
            }
        }
        if let Some(progress) = &self.progress {
            progress.moved();
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.size_hint().lower() + self.rest.len() as u64;
        SizeHint::with_exact(left)
    }
}
