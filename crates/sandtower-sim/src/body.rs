//! Bodies of answers, and the bounded reading of requests'.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::error::ConnectionError;

/// The body of an answer: a whole one, or one that is written while it is read.
#[derive(Debug)]
pub struct Body(Inner);

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
        Self(Inner::Whole(bytes.into()))
    }

    /// This body, which breaks off in its middle; a stream does after its first two chunks.
    pub(crate) fn cut(self) -> Self {
        let promised = http_body::Body::size_hint(&self).exact();
        let (inner, chunks) = match self.0 {
            Inner::Whole(bytes) => (Inner::Whole(bytes.slice(..bytes.len() / 2)), 1),
            other => (other, 2),
        };
        Self(Inner::Cut { inner: Box::new(inner), chunks, promised, sent: false })
    }

    pub(crate) fn stream() -> (Sender, Self) {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        (sender, Self(Inner::Stream(receiver)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        if let Inner::Cut { inner, chunks, sent, .. } = &mut self.0 {
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
            self.0 = Inner::Broken;
            return Poll::Ready(Some(Err(ConnectionError::reset(true))));
        }
        self.0.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Stream(_) | Inner::Cut { .. } => false,
            Inner::Broken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
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

/// The room for bodies that are being read, of all connections together, in bytes.
const ROOM: usize = 256 * 1024 * 1024;

/// Counts what the bodies take that are being read.
#[derive(Debug, Default)]
pub(crate) struct Reserve(Arc<AtomicUsize>);

/// Room that a body takes.
#[derive(Debug)]
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

/// Why a request's body could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is longer than allowed.
    TooLarge,
    /// Its sender went away.
    Aborted,
    /// All bodies together take too much.
    NoRoom,
}

/// Reads a request's body whole, at most `cap` bytes of it.
pub(crate) async fn read<B>(
    body: B,
    cap: usize,
    reserve: &Reserve,
) -> Result<(Bytes, Reserved), ReadError>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut room = reserve.begin();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(ReadError::Aborted) };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.remaining() > cap {
            return Err(ReadError::TooLarge);
        }
        if !room.take(data.remaining()) {
            return Err(ReadError::NoRoom);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok((first, room));
    }
    let mut whole = BytesMut::from(first);
    whole.unsplit(rest);
    Ok((whole.freeze(), room))
}
