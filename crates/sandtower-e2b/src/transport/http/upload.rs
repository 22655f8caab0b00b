use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sandtower_core::BoxError;
use sandtower_http::RequestBody;

use crate::Progress;

/// The chunk size, small enough that progress is visible.
const PIECE: usize = 64 * 1_024;

/// Whether the body of a request failed. Only a stream can.
#[derive(Clone, Default)]
pub(super) struct BodyFailed(Option<Arc<AtomicBool>>);

impl BodyFailed {
    pub(super) fn get(&self) -> bool {
        self.0.as_ref().is_some_and(|failed| failed.load(Ordering::Relaxed))
    }

    fn set(&self) {
        if let Some(failed) = &self.0 {
            failed.store(true, Ordering::Relaxed);
        }
    }
}

/// The body of a request, which tells how far it was taken.
pub(super) struct Upload {
    body: RequestBody,
    /// What of it is still to be handed over.
    rest: Bytes,
    progress: Option<Progress>,
    failed: BodyFailed,
}

impl Upload {
    /// `failed` is shared with the body from here on if it is a stream.
    pub(super) fn new(
        body: RequestBody,
        progress: Option<Progress>,
        failed: &mut BodyFailed,
    ) -> Self {
        if body.is_stream() {
            failed.0 = Some(Arc::default());
        }
        Self { body, rest: Bytes::new(), progress, failed: failed.clone() }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => {
                    self.failed.set();
                    return Poll::Ready(Some(Err(error)));
                }
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
        let (left, rest) = (self.body.size_hint(), self.rest.len() as u64);
        match left.exact() {
            Some(left) => SizeHint::with_exact(left + rest),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use sandtower_core::Tick;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_is_sent_in_chunks_and_each_records_progress() {
        for length in [0, 1, PIECE, PIECE + 1, 24 << 20] {
            let progress = Progress::default();
            let body = RequestBody::whole(vec![7; length]);
            let failed = &mut BodyFailed::default();
            let mut upload = Upload::new(body, Some(progress.clone()), failed);
            let mut left = length as u64;
            loop {
                assert_eq!(upload.size_hint().exact(), Some(left));
                assert_eq!(upload.is_end_stream(), left == 0);
                advance(Duration::from_secs(1)).await;
                let before = progress.last_moved();
                assert!(before.is_none_or(|moved| moved < Tick::now()), "no progress");
                let cx = &mut Context::from_waker(Waker::noop());
                let Poll::Ready(frame) = Pin::new(&mut upload).poll_frame(cx) else {
                    panic!("the body is complete")
                };
                let Some(Ok(frame)) = frame else { break };
                let piece = frame.into_data().unwrap();
                assert!(piece.len() <= PIECE);
                left -= piece.len() as u64;
                assert_eq!(progress.last_moved(), Some(Tick::now()), "progress");
            }
            assert_eq!(left, 0);
        }
    }
}
