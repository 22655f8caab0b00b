//! Bodies of answers, and the bounded reading of requests'.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
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
        match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Stream(chunks) => chunks.poll_recv(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// Why a request's body could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is longer than allowed.
    TooLarge,
    /// Its sender went away.
    Aborted,
}

/// Reads a request's body whole, at most `cap` bytes of it.
pub(crate) async fn read<B>(body: B, cap: usize) -> Result<Bytes, ReadError>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(ReadError::Aborted) };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.remaining() > cap {
            return Err(ReadError::TooLarge);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    whole.unsplit(rest);
    Ok(whole.freeze())
}
