use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use sandtower_core::{EndOfStream, EndOfStreamReporter, Verdict};

/// Reads along with the reader of a body, and says in the end what the answer came to: for streams
/// whose head says success and whose last message may not.
pub trait ReadEnd: Send {
    /// The next piece of the body.
    fn data(&mut self, piece: &Bytes);

    /// The trailers.
    fn trailers(&mut self, _fields: &HeaderMap) {}

    /// What the answer, of which there is no more, came to; `None`: as its head said. Not asked of a
    /// body that broke off or that nobody read to its end: what its head said stands.
    fn verdict(self: Box<Self>) -> Option<Verdict>;
}

/// What reads along with one body.
pub(crate) struct Watch {
    reader: Box<dyn ReadEnd>,
    teller: EndOfStreamReporter,
}

impl Watch {
    /// The end of an answer whose head said `head`, and what is to read along with its body.
    pub(crate) fn new(reader: Box<dyn ReadEnd>, head: Verdict) -> (EndOfStream, Self) {
        let (ending, teller) = EndOfStream::of(head);
        (ending, Self { reader, teller })
    }

    /// Reads one frame along.
    fn read(&mut self, frame: &Frame<Bytes>) {
        if let Some(piece) = frame.data_ref() {
            self.reader.data(piece);
        } else if let Some(fields) = frame.trailers_ref() {
            self.reader.trailers(fields);
        }
    }

    fn over(self) {
        // Without a word the teller is dropped, and what the head said stands.
        if let Some(verdict) = self.reader.verdict() {
            self.teller.tell(verdict);
        }
    }
}

/// The next frame of `body`, read along by `watch`, which is done at its end.
///
/// A reader may stop at the last frame when the body says that it was the last.
pub(crate) fn poll_watched<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    watch: &mut Option<Watch>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    let frame = ready!(body.as_mut().poll_frame(cx));
    let is_over = match (&frame, watch.as_mut()) {
        (Some(Ok(frame)), Some(watch)) => {
            watch.read(frame);
            body.is_end_stream()
        }
        (None, _) => true,
        (Some(Err(_)), _) => {
            drop(watch.take());
            false
        }
        (Some(Ok(_)), None) => false,
    };
    if is_over && let Some(watch) = watch.take() {
        watch.over();
    }
    Poll::Ready(frame)
}
