use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use sandtower_core::{Effect, EndOfStream, EndOfStreamReporter, Verdict};

/// Observes a body as it is read, and classifies the response at its end: for streams whose head is a
/// success although the last message may be an error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not observe the end of a body",
    label = "not a `ReadEnd`"
)]
pub trait ReadEnd: Send {
    /// The next chunk of the body.
    fn data(&mut self, piece: &Bytes);

    /// The trailers.
    fn trailers(&mut self, _fields: &HeaderMap) {}

    /// The verdict on the complete response; `None`: that of the head. Not called for a body that breaks
    /// off, which is a transient failure, or for one that is not read to its end, for which the verdict on
    /// the head stands.
    fn verdict(self: Box<Self>) -> Option<Verdict>;
}

/// Observes one body.
pub(crate) struct Watch {
    reader: Box<dyn ReadEnd>,
    reporter: EndOfStreamReporter,
}

impl Watch {
    /// The end of a response with the verdict `head`, and the observer of its body.
    pub(crate) fn new(reader: Box<dyn ReadEnd>, head: Verdict) -> (EndOfStream, Self) {
        let (end, reporter) = EndOfStream::of(head);
        (end, Self { reader, reporter })
    }

    /// Observes one frame.
    fn read(&mut self, frame: &Frame<Bytes>) {
        if let Some(piece) = frame.data_ref() {
            self.reader.data(piece);
        } else if let Some(fields) = frame.trailers_ref() {
            self.reader.trailers(fields);
        }
    }

    fn over(self) {
        // If nothing is reported, the reporter is dropped, and the verdict on the head stands.
        if let Some(verdict) = self.reader.verdict() {
            self.reporter.report(verdict);
        }
    }
}

/// The next frame of `body`, observed by `watch`, which is finished at the end.
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
            if let Some(watch) = watch.take() {
                watch.reporter.report(Verdict::transient(Effect::Maybe));
            }
            false
        }
        (Some(Ok(_)), None) => false,
    };
    if is_over && let Some(watch) = watch.take() {
        watch.over();
    }
    Poll::Ready(frame)
}
