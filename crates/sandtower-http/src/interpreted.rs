use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::ended::{Watch, poll_watched};
use crate::reading::Reading;

pin_project! {
    /// The body of a response that passed an [`Interpreter`](crate::Interpreter): the same frames as without
    /// it.
    ///
    /// A body that was not read passes unchanged, or is [observed](crate::ReadEnd). Of a body that was read,
    /// the caller gets the buffered part first and then the rest, trailers included; an error met while
    /// reading ahead comes in its original place.
    pub struct Interpreted<B: Body> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B: Body> {
        Untouched { #[pin] body: B },
        // Boxed, so that responses without an observer are not larger for it.
        Watched { body: Pin<Box<B>>, watch: Option<Watch> },
        Read { reading: Reading<B> },
    }
}

impl<B: Body> Interpreted<B> {
    pub(crate) fn untouched(body: B) -> Self {
        Self { state: State::Untouched { body } }
    }

    pub(crate) fn watched(body: B, watch: Watch) -> Self {
        Self { state: State::Watched { body: Box::pin(body), watch: Some(watch) } }
    }

    pub(crate) fn read(reading: Reading<B>) -> Self {
        Self { state: State::Read { reading } }
    }
}

impl<B: Body<Data = Bytes>> Body for Interpreted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().state.project() {
            StateProj::Untouched { body } => body.poll_frame(cx),
            StateProj::Watched { body, watch } => poll_watched(body.as_mut(), watch, cx),
            StateProj::Read { reading } => reading.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Untouched { body } => body.is_end_stream(),
            State::Watched { body, .. } => body.is_end_stream(),
            State::Read { reading } => reading.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Untouched { body } => body.size_hint(),
            State::Watched { body, .. } => body.size_hint(),
            State::Read { reading } => reading.size_hint(),
        }
    }
}

/// Bodies may contain secrets, so only the amount that was read is shown.
impl<B: Body> std::fmt::Debug for Interpreted<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.state {
            State::Untouched { .. } => f.write_str("Untouched"),
            State::Watched { watch, .. } => write!(f, "Watched(over: {})", watch.is_none()),
            State::Read { reading } => reading.fmt(f),
        }
    }
}
