use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use sandtower_core::Sleep;
use sandtower_core::{Attempt, Tick};
use sandtower_retry::Answers;

use crate::Http;

/// The most that is read of an answer that nobody wants: below this a new connection costs more.
const MOST: u64 = 16 * 1_024;
/// The most frames of it.
const MOST_FRAMES: u32 = 256;
/// The longest that is waited for it.
const LONGEST: Duration = Duration::from_secs(1);

/// What becomes of HTTP answers: the small rest of one that failed is read, so that its connection
/// can be used again; the one for the caller gets its [`Attempt`] as an extension.
impl<B: Body> Answers<Response<B>> for Http {
    type Discard = Drain<B>;

    fn discard(&self, answer: Response<B>) -> Drain<B> {
        let body = answer.into_body();
        let is_small = body.size_hint().lower() <= MOST && !body.is_end_stream();
        Drain {
            limit: Sleep::until(Tick::now() + LONGEST),
            body: is_small.then_some(body),
            bytes: MOST,
            frames: MOST_FRAMES,
        }
    }

    fn stamp(&self, answer: &mut Response<B>, attempt: &Attempt) {
        answer.extensions_mut().insert(*attempt);
    }
}

pin_project! {
    /// Reads what is left of a body that nobody wants, at most 16 KiB within 1 s, and drops it. Of
    /// one that is longer or slower, the connection is closed.
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
                // At once: whoever holds this future may hold it for longer.
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
