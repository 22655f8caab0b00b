//! Bodies of responses, and the bounded reading of requests'.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::error::ConnectionError;
use crate::request::Unreadable;

/// The body of a response: a whole one, or one that is written while it is read.
#[derive(Debug)]
pub struct Body {
    inner: Inner,
    /// Dropped with this: whoever has another knows that this is still being read.
    _held: Option<Arc<()>>,
}

#[derive(Debug)]
enum Inner {
    Whole(Bytes),
    Stream(mpsc::Receiver<Result<Bytes, ConnectionError>>),
    /// What is left of a body that breaks off.
    Cut {
        inner: Box<Inner>,
        /// How many more of its chunks come.
        chunks: usize,
        /// How long it is said to be.
        promised: Option<u64>,
        /// Whether what came was left time to be sent: a server drops it if the end comes at once.
        sent: bool,
    },
    Broken,
}

/// The writing end of a streamed body.
pub(crate) type Sender = mpsc::Sender<Result<Bytes, ConnectionError>>;

/// Chunks that a streamed body holds for a slow reader before its writer has to wait.
const STREAM_BUFFER: usize = 16;

impl Body {
    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::of(Inner::Whole(bytes.into()))
    }

    /// This body, which breaks off in its middle; a stream does after its first two chunks.
    pub(crate) fn cut(self) -> Self {
        let promised = http_body::Body::size_hint(&self).exact();
        let (inner, chunks) = match self.inner {
            Inner::Whole(bytes) => (Inner::Whole(bytes.slice(..bytes.len() / 2)), 1),
            other => (other, 2),
        };
        Self::of(Inner::Cut { inner: Box::new(inner), chunks, promised, sent: false })
    }

    /// This body, which holds on to something until it has been read.
    pub(crate) fn holding(self, held: Arc<()>) -> Self {
        Self { _held: Some(held), ..self }
    }

    fn of(inner: Inner) -> Self {
        Self { inner, _held: None }
    }

    pub(crate) fn stream() -> (Sender, Self) {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        (sender, Self::of(Inner::Stream(receiver)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        if let Inner::Cut { inner, chunks, sent, .. } = &mut self.inner {
            if *chunks > 0
                && let Some(frame) = ready!(inner.poll(cx))
            {
                *chunks -= 1;
                return Poll::Ready(Some(frame));
            }
            if !std::mem::replace(sent, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.inner = Inner::Broken;
            return Poll::Ready(Some(Err(ConnectionError::reset(true))));
        }
        self.inner.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Stream(_) | Inner::Cut { .. } => false,
            Inner::Broken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Cut { promised: Some(bytes), .. } => SizeHint::with_exact(*bytes),
            Inner::Stream(_) | Inner::Cut { .. } | Inner::Broken => SizeHint::default(),
        }
    }
}

impl Inner {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(chunks) => chunks.poll_recv(cx).map_ok(Frame::data),
            Self::Cut { .. } | Self::Broken => Poll::Ready(None),
        }
    }
}

/// The memory for bodies that are being read, of all connections together, in bytes.
const ROOM: usize = 256 * 1024 * 1024;

/// Counts what the bodies take that are being read.
#[derive(Debug, Default)]
pub(crate) struct Reserve(Arc<AtomicUsize>);

/// Room that a body takes.
pub(crate) struct Reserved {
    all: Arc<AtomicUsize>,
    taken: usize,
}

impl Reserve {
    /// No room, to which may be added.
    pub(crate) fn begin(&self) -> Reserved {
        Reserved { all: Arc::clone(&self.0), taken: 0 }
    }
}

impl Reserved {
    /// Takes more; false if all together is too much.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        self.taken += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= ROOM
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Why a request has no body, not even one that is too long.
pub(crate) enum Unread {
    /// Its sender went away.
    Aborted,
    /// All bodies together take too much.
    NoRoom,
}

/// Reads a request's body whole, at most `cap` bytes of it; it takes its room until that is dropped.
pub(crate) async fn read<B>(
    body: B,
    cap: usize,
    reserve: &Reserve,
) -> Result<(Result<Bytes, Unreadable>, Reserved), Unread>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let (mut room, mut read, mut fits) = (reserve.begin(), 0, true);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Unread::Aborted) };
        let Ok(data) = frame.into_data() else { continue };
        read += data.remaining();
        if read > cap {
            return Ok((Err(Unreadable::TooLong), reserve.begin()));
        }
        if !fits {
            // Read on and forget it: a sender that is not read does not see the response.
            continue;
        }
        if !room.take(data.remaining()) {
            (first, rest, room, fits) = (Bytes::new(), BytesMut::new(), reserve.begin(), false);
        } else if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if !fits {
        return Err(Unread::NoRoom);
    }
    if rest.is_empty() {
        return Ok((Ok(first), room));
    }
    let mut whole = BytesMut::from(first);
    whole.unsplit(rest);
    Ok((Ok(whole.freeze()), room))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn beyond_the_bound_of_all_bodies_one_is_read_and_forgotten() {
        let reserve = Reserve::default();
        let mut others = reserve.begin();
        assert!(others.take(ROOM - 10));
        let body = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
        let full = read(body("more than ten bytes"), 1_000, &reserve).await;
        assert!(matches!(full, Err(Unread::NoRoom)));
        assert!(read(body("ten bytes!"), 1_000, &reserve).await.is_ok(), "it left no trace");
        assert!(matches!(read(body("long"), 3, &reserve).await, Ok((Err(Unreadable::TooLong), _))));
        drop(others);
        assert!(read(body("more than ten bytes"), 1_000, &reserve).await.is_ok());
    }
}
