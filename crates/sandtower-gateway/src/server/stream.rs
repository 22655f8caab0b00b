use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower::core::{Sleep, Tick};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::state::ConnectionState;

/// How long the parts of an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The head of a request, from its first byte on.
    pub(super) head: Duration,
    /// A connection without a request; longer than clients keep one, so that none is closed under a
    /// request.
    pub(super) idle: Duration,
    /// A client that reads nothing.
    pub(super) write: Duration,
}

/// A connection that breaks when its client is too slow.
pub(super) struct Stream<S> {
    stream: S,
    state: Arc<ConnectionState>,
    times: Times,
    /// HTTP/2 has its own pings, and its connections carry more than requests.
    watches_reads: bool,
    waits_for: Waits,
    /// Whether `read` is set for that. It is once the stream has to wait: most heads come at once, and cost
    /// no timer.
    is_timed: bool,
    /// Begun requests at the last read.
    begun: u64,
    read: Pin<Box<Sleep>>,
    write: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Nothing,
    Request,
    Head,
}

impl<S> Stream<S> {
    pub(super) fn new(stream: S, state: Arc<ConnectionState>, times: Times, is_h2: bool) -> Self {
        // Of a new connection the first request is due.
        let read = Box::pin(Sleep::until(Tick::now() + times.head));
        let (watches_reads, waits_for, is_timed) = (!is_h2, Waits::Head, true);
        Self {
            stream,
            state,
            times,
            watches_reads,
            waits_for,
            is_timed,
            begun: 0,
            read,
            write: None,
        }
    }

    fn wait_for(&mut self, next: Waits) {
        if self.waits_for != next {
            self.waits_for = next;
            self.is_timed = false;
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_timed {
            let limit = match self.waits_for {
                Waits::Nothing => return Poll::Pending,
                Waits::Request => self.times.idle,
                Waits::Head => self.times.head,
            };
            self.read.as_mut().reset(Tick::now() + limit);
            self.is_timed = true;
        }
        self.read.as_mut().poll(cx)
    }

    /// Whether what is read next is late.
    fn poll_late(&mut self, cx: &mut Context<'_>, came: bool) -> Poll<()> {
        if !self.watches_reads {
            return Poll::Pending;
        }
        let begun = self.state.begun();
        if self.state.is_active() {
            self.begun = begun;
            self.wait_for(Waits::Nothing);
            return Poll::Pending;
        }
        if begun != self.begun {
            self.begun = begun;
            self.wait_for(Waits::Request);
        }
        if came {
            self.wait_for(Waits::Head);
            return Poll::Pending;
        }
        if self.waits_for == Waits::Nothing {
            self.wait_for(Waits::Request);
        }
        self.poll_time(cx)
    }
}

impl<S: Unpin> Stream<S> {
    fn guard<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), cx);
        if written.is_ready() {
            self.write = None;
            return written;
        }
        let limit = self.times.write;
        let stalled = self.write.get_or_insert_with(|| Box::pin(Sleep::until(Tick::now() + limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = polled.is_ready() && buffer.filled().len() > before;
        if polled.is_ready() && !came {
            return polled;
        }
        match self.poll_late(cx, came) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.guard(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.guard(cx, AsyncWrite::poll_flush);
        if let Poll::Ready(Ok(())) = flushed {
            self.state.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(cx, AsyncWrite::poll_shutdown)
    }
}
