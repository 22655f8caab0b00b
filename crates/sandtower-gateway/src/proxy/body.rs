use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use pin_project_lite::pin_project;
use sandtower::core::BoxError;
use sandtower::http::Interpreted;
use sandtower::stack;

use super::failure::end_of_stream;
use crate::access_log::Record;
use crate::server::{Active, Claim, ConnectionState, InFlight};

/// The body of a response of the service.
pub(crate) type UpstreamBody = Interpreted<stack::Body>;

pin_project! {
    /// The body of a response of the gateway.
    pub(crate) struct ResponseBody {
        #[pin]
        kind: Kind,
        hold: Hold,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind {
        Whole { body: Full<Bytes> },
        Stream { first: Option<Bytes>, #[pin] body: UpstreamBody, envelopes: Option<Envelopes> },
        Broken,
    }
}

/// What lasts as long as a response.
#[derive(Default)]
pub(crate) struct Hold {
    /// The sandbox that it creates: its caller's once the connection has taken all of it.
    pub(crate) claim: Option<(Claim, Arc<ConnectionState>)>,
    #[expect(dead_code, reason = "it counts until it is dropped")]
    pub(crate) in_flight: Option<(InFlight, Active)>,
    pub(crate) record: Option<Box<Record>>,
}

impl ResponseBody {
    pub(crate) fn whole(body: impl Into<Bytes>) -> Self {
        Self::of(Kind::Whole { body: Full::new(body.into()) })
    }

    /// As it comes, `first` before the rest of it.
    pub(crate) fn stream(first: Option<Bytes>, body: UpstreamBody, is_connect: bool) -> Self {
        let envelopes = is_connect.then(Envelopes::default);
        Self::of(Kind::Stream { first, body, envelopes })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, hold: Hold::default() }
    }

    pub(crate) fn holding(mut self, hold: Hold) -> Self {
        self.hold = hold;
        self
    }
}

impl Hold {
    fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes as u64;
        }
    }

    fn ended(&mut self) {
        if let Some((claim, connection)) = self.claim.take() {
            connection.claim_when_flushed(claim);
        }
        if let Some(record) = &mut self.record {
            record.is_whole = true;
        }
    }

    fn broke(&mut self) {
        if let Some(record) = &mut self.record {
            record.reason = Some("broken");
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = match this.kind.as_mut().project() {
            KindProj::Whole { body } => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|no| match no {}))
            }
            KindProj::Stream { first, mut body, envelopes } => match first.take() {
                Some(first) => Some(Ok(Frame::data(first))),
                None => match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Err(error)) => {
                        this.hold.broke();
                        let ends = envelopes.as_ref().is_some_and(Envelopes::is_between);
                        this.kind.set(Kind::Broken);
                        match ends {
                            true => Some(Ok(Frame::data(end_of_stream(BROKEN)))),
                            false => Some(Err(error)),
                        }
                    }
                    frame => frame,
                },
            },
            KindProj::Broken => None,
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if let KindProj::Stream { envelopes: Some(envelopes), .. } =
                        this.kind.as_mut().project()
                    {
                        envelopes.pass(data);
                    }
                    this.hold.sent(data.len());
                }
                if this.kind.is_end_stream() {
                    this.hold.ended();
                }
            }
            Some(Err(_)) => {}
            None => this.hold.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { body } => body.size_hint(),
            Kind::Stream { first: None, body, .. } => body.size_hint(),
            Kind::Stream { .. } | Kind::Broken => SizeHint::default(),
        }
    }
}

const BROKEN: &str = "the connection to the sandbox broke";

impl Kind {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body } => body.is_end_stream(),
            Self::Stream { first, body, .. } => first.is_none() && body.is_end_stream(),
            // What ends a stream of Connect's has been returned, or an error has.
            Self::Broken => true,
        }
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

/// Where a stream of Connect's is: between two messages, or in one.
#[derive(Debug, Default)]
struct Envelopes {
    /// The prefix of the message that is being read, as far as it has come.
    prefix: [u8; 5],
    read: usize,
    /// What of the message is still to come.
    left: usize,
    is_over: bool,
}

impl Envelopes {
    fn is_between(&self) -> bool {
        self.read == 0 && self.left == 0 && !self.is_over
    }

    fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(data.len());
                self.left -= taken;
                data = &data[taken..];
                continue;
            }
            self.prefix[self.read] = data[0];
            self.read += 1;
            data = &data[1..];
            if self.read == self.prefix.len() {
                let [flags, length @ ..] = self.prefix;
                self.is_over |= flags & 0b10 != 0;
                self.left = u32::from_be_bytes(length) as usize;
                self.read = 0;
            }
        }
    }
}

/// The body of a message, collected up to a limit.
pub(crate) enum Collected<B> {
    Whole(Bytes),
    /// It is longer than the limit: what was read of it, and the rest.
    Longer(Bytes, B),
    Failed(BoxError),
}

/// Collects `body` up to `limit` bytes.
pub(crate) async fn collect<B>(mut body: B, limit: usize) -> Collected<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut first = Bytes::new();
    let mut whole = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            // Trailers.
            Ok(Err(_)) => continue,
            Err(error) => return Collected::Failed(error.into()),
        };
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
        if first.len() + whole.len() > limit {
            return Collected::Longer(if whole.is_empty() { first } else { whole.freeze() }, body);
        }
    }
    Collected::Whole(if whole.is_empty() { first } else { whole.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_whether_a_stream_is_between_two_messages() {
        let mut at = Envelopes::default();
        assert!(at.is_between());
        let messages = [&[0, 0, 0, 0, 2][..], b"{}", &[0, 0, 0, 0, 0], &[2, 0, 0, 0, 1, b'x']];
        let between = [false, true, true, false];
        for (message, between) in messages.iter().zip(between) {
            for byte in &message[..message.len() - 1] {
                at.pass(&[*byte]);
                assert!(!at.is_between());
            }
            at.pass(&message[message.len() - 1..]);
            assert_eq!(at.is_between(), between, "{message:?}");
        }
    }

    #[tokio::test]
    async fn a_body_is_collected_up_to_its_limit() {
        let collected = |limit| collect(Full::<Bytes>::from("abcdef"), limit);
        assert!(matches!(collected(6).await, Collected::Whole(all) if all == "abcdef"));
        assert!(matches!(collected(5).await, Collected::Longer(first, _) if first == "abcdef"));
    }
}
