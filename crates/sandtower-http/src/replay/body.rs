use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sandtower_core::{BoxError, CallerError};

use super::shared::{Next, Read, Returned, Shared};
use super::wakers::Wakers;
use crate::DEFAULT_CAP;

/// A body of any type that can be sent again, if it is not too long.
///
/// Frames are buffered up to a cap, trailers included, and a [`Clone`] reads them again from the start. A
/// copy that reaches the end of the buffer continues with the rest: an attempt that was dropped midway
/// loses nothing. Several copies may read at the same time.
///
/// | | |
/// |---|---|
/// | longer than the cap, known in advance | nothing is buffered: [`is_replayable`](Self::is_replayable) until the first frame is read |
/// | longer than the cap, found while reading | the buffer is released; the copy that reads first gets the whole body; other copies end with [`NotReplayable`] |
/// | it failed | the copy that read it gets the error, marked as the caller's own ([`CallerError`]); other copies end with [`NotReplayable`] |
/// | no other copy is left | nothing is buffered any more |
///
/// Frames without data are passed on once and not repeated. At most 1,024 frames are buffered. The body
/// costs three allocations.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full};
/// use sandtower_http::ReplayBody;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandtower_core::BoxError> {
/// let first = ReplayBody::new(Full::<Bytes>::from("to be sent"));
/// let second = first.clone();
/// assert_eq!(first.collect().await?.to_bytes(), "to be sent");
/// assert_eq!(second.collect().await?.to_bytes(), "to be sent");
/// # Ok(())
/// # }
/// ```
pub struct ReplayBody<B: Body> {
    common: Arc<Common<B>>,
    reader: u64,
    /// How many frames with data it has read.
    place: usize,
    is_over: bool,
}

struct Common<B> {
    shared: Mutex<Shared<B>>,
    wakers: Arc<Wakers>,
    readers: AtomicU64,
}

impl<B> Common<B> {
    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> ReplayBody<B> {
    /// `body`, buffered up to [`DEFAULT_CAP`].
    pub fn new(body: B) -> Self {
        Self::capped(body, DEFAULT_CAP)
    }

    /// `body`, buffered up to `cap` bytes.
    pub fn capped(body: B, cap: usize) -> Self {
        let common = Common {
            shared: Mutex::new(Shared::new(body, cap)),
            wakers: Arc::default(),
            readers: AtomicU64::new(1),
        };
        Self { common: Arc::new(common), reader: 0, place: 0, is_over: false }
    }

    /// Whether a copy that starts now can be sent whole, as far as is known. Once `false`, it stays so.
    ///
    /// Before the first attempt, `true` is provisional: whether the body is too long shows while it is
    /// sent. Check again before the second attempt.
    pub fn is_replayable(&self) -> bool {
        self.common.lock().is_replayable()
    }

    fn poll_rest(
        &mut self,
        body: Pin<Box<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        let common = &*self.common;
        // Before the body is polled: it may have data as soon as it has returned `Pending`.
        common.wakers.wait(self.reader, cx.waker());
        let mut borrowed = Borrowed { common, body: Some(body) };
        let Some(body) = &mut borrowed.body else { unreachable!("it is returned below") };
        let waker = Waker::from(Arc::clone(&common.wakers));
        let polled = match body.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(polled) => polled,
            Poll::Pending => {
                let rest = borrowed.take();
                let is_awaited = rest.is_some_and(|rest| common.lock().pending(rest));
                if is_awaited {
                    // These arrived while it was polled, so that it may not know of them.
                    common.wakers.wake_others(self.reader);
                }
                return Poll::Pending;
            }
        };
        let (read, error) = match Read::of(polled) {
            Ok(read) => (read, None),
            Err(error) => (Read::Failed, Some(CallerError::new(error).into())),
        };
        // Only this reader can create another, and it is busy here: a sole reader stays alone.
        let else_reads = Arc::strong_count(&self.common) > 1;
        let dropped = borrowed.take().map(|rest| common.lock().advance(rest, &read, else_reads));
        drop(dropped);
        common.wakers.forget(self.reader);
        common.wakers.wake_others(self.reader);
        Poll::Ready(match read {
            Read::Data(data) => {
                self.place += usize::from(!data.is_empty());
                Some(Ok(Frame::data(data)))
            }
            Read::Trailers(trailers) => {
                self.is_over = true;
                Some(Ok(Frame::trailers(trailers)))
            }
            Read::End | Read::Failed => {
                self.is_over = true;
                error.map(Err)
            }
        })
    }
}

/// A body that is being polled. If it panics it is lost, and the readers that wait for it are woken.
struct Borrowed<'c, B: Body> {
    common: &'c Common<B>,
    body: Option<Pin<Box<B>>>,
}

impl<B: Body> Borrowed<'_, B> {
    /// The body, to be returned: until then, a panic loses it.
    fn take(&mut self) -> Option<Returned<B>> {
        let said = self.body.as_ref().map(|body| (body.size_hint(), body.is_end_stream()));
        self.body.take().zip(said).map(|(body, (hint, is_empty))| Returned { body, hint, is_empty })
    }
}

impl<B: Body> Drop for Borrowed<'_, B> {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.common.lock().lose();
            self.common.wakers.wake_others(u64::MAX);
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut next = this.common.lock().next(this.place);
        if let Next::Wait = next {
            this.common.wakers.wait(this.reader, cx.waker());
            // The body may have been returned before this reader was registered to be woken.
            next = this.common.lock().next(this.place);
            if let Next::Wait = next {
                return Poll::Pending;
            }
            this.common.wakers.forget(this.reader);
        }
        Poll::Ready(match next {
            Next::Poll(body) => return this.poll_rest(body, cx),
            Next::Wait => unreachable!("it is waited for above"),
            Next::Data(data) => {
                this.place += 1;
                Some(Ok(Frame::data(data)))
            }
            Next::Trailers(trailers) => {
                this.is_over = true;
                Some(Ok(Frame::trailers(trailers)))
            }
            Next::End => {
                this.is_over = true;
                None
            }
            Next::Lost => {
                this.is_over = true;
                Some(Err(NotReplayable(()).into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.common.lock().is_end(self.place)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_over { SizeHint::with_exact(0) } else { self.common.lock().hint(self.place) }
    }
}

/// A copy reads from the beginning.
impl<B: Body> Clone for ReplayBody<B> {
    fn clone(&self) -> Self {
        Self {
            reader: self.common.readers.fetch_add(1, Ordering::Relaxed),
            common: Arc::clone(&self.common),
            place: 0,
            is_over: false,
        }
    }
}

impl<B: Body> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        self.common.wakers.forget(self.reader);
    }
}

/// Bodies may contain secrets, so only lengths are shown.
impl<B: Body> std::fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayBody")
            .field("kept_bytes", &self.common.lock().kept())
            .field("frames_read", &self.place)
            .field("over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// A copy of a body could not be sent: its first frames were no longer buffered, or it failed.
///
/// An attempt that ends so is permanent: another would end in the same way.
#[derive(Clone, Copy, Debug)]
pub struct NotReplayable(());

impl std::fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request body cannot be sent again: it is no longer buffered")
    }
}

impl std::error::Error for NotReplayable {}
