use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sandtower_core::{BoxError, Effect, EndOfStream, EndOfStreamReporter, Verdict};
use sandtower_http::DEFAULT_CAP;

/// Longer bodies are not read ahead by an interpreter, so they report their end themselves.
const LONG: u64 = DEFAULT_CAP as u64;

/// The body of a response, as it arrives.
#[derive(Debug)]
pub struct TransportBody {
    body: Incoming,
    reporter: Option<EndOfStreamReporter>,
}

impl TransportBody {
    /// A long successful response reports its end: gates hear if its body breaks off.
    pub(super) fn response(response: Response<Incoming>) -> Response<Self> {
        let (mut head, body) = response.into_parts();
        let is_long = body.size_hint().exact().is_none_or(|length| length > LONG);
        let reporter = (is_long && head.status.is_success() && !body.is_end_stream()).then(|| {
            let (end, reporter) = EndOfStream::of(Verdict::success());
            head.extensions.insert(end);
            reporter
        });
        Response::from_parts(head, Self { body, reporter })
    }
}

impl Body for TransportBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let broke = matches!(frame, Some(Err(_)));
        if let Some(reporter) = self.reporter.take_if(|_| frame.is_none() || broke) {
            reporter.report(match broke {
                true => Verdict::transient(Effect::Maybe),
                false => Verdict::success(),
            });
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
