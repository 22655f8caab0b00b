use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::Excerpt;

/// The most frames that are read ahead, so that endless empty frames, which never reach a limit on bytes,
/// neither spin nor fill the memory.
const MOST_FRAMES: usize = 1_024;

/// A body whose first frames are read ahead, and then passed on unchanged.
///
/// The body is boxed so that it may be `!Unpin`: this type exists only for responses whose body is
/// read.
pub(crate) struct Reading<B: Body> {
    body: Pin<Box<B>>,
    ahead: VecDeque<Frame<Bytes>>,
    /// Bytes in `ahead`.
    len: usize,
    failed: Option<B::Error>,
    /// The body must not be polled again.
    over: bool,
}

impl<B: Body<Data = Bytes>> Reading<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body: Box::pin(body), ahead: VecDeque::new(), len: 0, failed: None, over: false }
    }

    /// Reads until the body ends or fails, or at least `cap` bytes have arrived. The buffer exceeds the cap
    /// by less than one frame.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>, cap: usize) -> Poll<()> {
        while !self.over && self.len < cap && self.ahead.len() < MOST_FRAMES {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.len += frame.data_ref().map_or(0, Bytes::len);
                    self.ahead.push_back(frame);
                }
                Some(Err(error)) => {
                    self.failed = Some(error);
                    self.over = true;
                }
                None => self.over = true,
            }
        }
        Poll::Ready(())
    }

    /// Shows what was read, up to `cap` bytes, to `look`.
    pub(crate) fn show<T>(&self, cap: usize, look: impl FnOnce(Excerpt<'_>) -> T) -> T {
        let bytes = self.contiguous();
        let ended = self.failed.is_none() && (self.over || self.body.is_end_stream());
        look(Excerpt {
            bytes: &bytes[..bytes.len().min(cap)],
            complete: ended && bytes.len() <= cap,
        })
    }

    fn contiguous(&self) -> Cow<'_, [u8]> {
        let mut chunks = self.ahead.iter().filter_map(Frame::data_ref);
        match (chunks.next(), chunks.next()) {
            (None, _) => Cow::Borrowed(&[]),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => {
                let mut all = Vec::with_capacity(self.len);
                [first, second].into_iter().chain(chunks).for_each(|chunk| all.extend(chunk));
                Cow::Owned(all)
            }
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.ahead.pop_front() {
            self.len -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.over { Poll::Ready(None) } else { self.body.as_mut().poll_frame(cx) }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.failed.is_none() && (self.over || self.body.is_end_stream())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let ahead = u64::try_from(self.len).unwrap_or(u64::MAX);
        if self.over && self.failed.is_none() {
            return SizeHint::with_exact(ahead);
        }
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        // The upper bound first: a lower bound above it panics.
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint.set_lower(rest.lower().saturating_add(ahead));
        hint
    }
}

/// Bodies may contain secrets, so only lengths are shown.
impl<B: Body> std::fmt::Debug for Reading<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("frames", &self.ahead.len())
            .field("bytes", &self.len)
            .field("failed", &self.failed.is_some())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
