use std::pin::Pin;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The most buffered frames: tiny ones would fill the memory below any limit on bytes.
const MOST_FRAMES: usize = 1_024;

/// Shared by all copies of a body: the buffer, and the rest of the body.
///
/// Every reader has a position, the number of frames with data that it has read. The reader at the end
/// of the buffer borrows the rest and reads on; all others read the buffer. No code of the body or of a
/// waker runs under the lock.
pub(super) struct Shared<B> {
    rest: Rest<B>,
    /// The buffered frames, while they are kept.
    frames: Vec<Bytes>,
    /// How many frames with data were read, buffered or not.
    read: usize,
    /// Bytes in `frames`, and of the trailers.
    len: usize,
    cap: usize,
    /// Whether everything read is buffered.
    is_kept: bool,
    /// What `rest` last reported about itself.
    hint: SizeHint,
    is_empty: bool,
    /// A reader found the rest borrowed.
    is_awaited: bool,
}

enum Rest<B> {
    Here(Pin<Box<B>>),
    /// One reader is polling it.
    Borrowed,
    /// It ended, with these trailers.
    Ended(Option<HeaderMap>),
    /// It failed, or its end was not buffered.
    Lost,
}

/// The next step of a reader.
pub(super) enum Next<B> {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Poll the body, and return it through [`Shared::pending`] or [`Shared::advance`].
    Poll(Pin<Box<B>>),
    /// Another reader is polling, and wakes those that wait.
    Wait,
    /// Gone: it was not buffered.
    Lost,
}

/// A body that was polled, with its size hint since: read before the lock is taken.
pub(super) struct Returned<B> {
    pub(super) body: Pin<Box<B>>,
    pub(super) hint: SizeHint,
    pub(super) is_empty: bool,
}

/// The result of polling the body.
pub(super) enum Read {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Failed,
}

impl<B: Body> Shared<B> {
    pub(super) fn new(body: B, cap: usize) -> Self {
        let body = Box::pin(body);
        let hint = body.size_hint();
        Self {
            is_empty: body.is_end_stream(),
            // A body that is known to be too long is not buffered at all.
            is_kept: hint.lower() <= u64::try_from(cap).unwrap_or(u64::MAX),
            hint,
            rest: Rest::Here(body),
            frames: Vec::new(),
            read: 0,
            len: 0,
            cap,
            is_awaited: false,
        }
    }

    pub(super) fn next(&mut self, place: usize) -> Next<B> {
        if place < self.read {
            return match self.frames.get(place) {
                Some(data) if self.is_kept => Next::Data(data.clone()),
                _ => Next::Lost,
            };
        }
        match std::mem::replace(&mut self.rest, Rest::Borrowed) {
            Rest::Here(body) => return Next::Poll(body),
            Rest::Borrowed => {
                self.is_awaited = true;
                return Next::Wait;
            }
            over => self.rest = over,
        }
        match &self.rest {
            Rest::Ended(None) => Next::End,
            Rest::Ended(Some(trailers)) => Next::Trailers(trailers.clone()),
            _ => Next::Lost,
        }
    }

    /// Returns a body that is pending: whether a reader came for it meanwhile.
    pub(super) fn pending(&mut self, rest: Returned<B>) -> bool {
        self.put_back(rest);
        std::mem::take(&mut self.is_awaited)
    }

    /// Returns the body, and buffers its frame if another `else_reads` it. The caller drops the result
    /// outside the lock.
    pub(super) fn advance(
        &mut self,
        rest: Returned<B>,
        read: &Read,
        else_reads: bool,
    ) -> (Option<Pin<Box<B>>>, Vec<Bytes>) {
        self.is_awaited = false;
        let size = match read {
            Read::Data(data) => data.len(),
            Read::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
            }
            Read::End | Read::Failed => 0,
        };
        let fits = self.len.saturating_add(size) <= self.cap && self.frames.len() < MOST_FRAMES;
        let is_read = !matches!(read, Read::Failed);
        self.is_kept &= (fits || matches!(read, Read::End)) && else_reads && is_read;
        self.len += size;
        let dropped = if self.is_kept { Vec::new() } else { std::mem::take(&mut self.frames) };
        match read {
            Read::Data(data) => {
                // Empty frames carry nothing and have no position.
                if !data.is_empty() {
                    self.read += 1;
                    if self.is_kept {
                        self.frames.push(data.clone());
                    }
                }
                self.put_back(rest);
                return (None, dropped);
            }
            Read::Trailers(trailers) if self.is_kept => {
                self.rest = Rest::Ended(Some(trailers.clone()));
            }
            Read::End => self.rest = Rest::Ended(None),
            Read::Trailers(_) | Read::Failed => self.rest = Rest::Lost,
        }
        (Some(rest.body), dropped)
    }

    /// The body is not coming back.
    pub(super) fn lose(&mut self) {
        self.rest = Rest::Lost;
        self.is_kept = false;
    }

    fn put_back(&mut self, rest: Returned<B>) {
        self.hint = rest.hint;
        self.is_empty = rest.is_empty;
        self.rest = Rest::Here(rest.body);
    }

    /// Whether a reader that starts now can read all of it, as far as is known.
    pub(super) fn is_replayable(&self) -> bool {
        (self.read == 0 || self.is_kept) && !matches!(self.rest, Rest::Lost)
    }

    pub(super) fn is_end(&self, place: usize) -> bool {
        place == self.read
            && match self.rest {
                Rest::Here(_) | Rest::Borrowed => self.is_empty,
                Rest::Ended(None) => true,
                Rest::Ended(Some(_)) | Rest::Lost => false,
            }
    }

    /// The next step for a reader.
    pub(super) fn hint(&self, place: usize) -> SizeHint {
        if place < self.read && !self.is_kept {
            return SizeHint::default();
        }
        let kept: usize = self.frames.iter().skip(place).map(Bytes::len).sum();
        let kept = u64::try_from(kept).unwrap_or(u64::MAX);
        match self.rest {
            Rest::Lost => SizeHint::default(),
            Rest::Ended(_) => SizeHint::with_exact(kept),
            Rest::Here(_) | Rest::Borrowed => {
                let mut hint = SizeHint::new();
                // The upper bound first: a lower bound above it panics.
                if let Some(upper) = self.hint.upper() {
                    hint.set_upper(upper.saturating_add(kept));
                }
                hint.set_lower(self.hint.lower().saturating_add(kept));
                hint
            }
        }
    }

    /// Buffered bytes, for logs.
    pub(super) fn kept(&self) -> Option<usize> {
        self.is_kept.then_some(self.len)
    }
}

impl Read {
    pub(super) fn of<D: Buf, E>(polled: Option<Result<Frame<D>, E>>) -> Result<Self, E> {
        let frame = match polled {
            None => return Ok(Self::End),
            Some(frame) => frame?,
        };
        Ok(match frame.into_data() {
            Ok(mut data) => Self::Data(data.copy_to_bytes(data.remaining())),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Self::Trailers(trailers),
                // An unknown kind of frame: it has no data.
                Err(_) => Self::Data(Bytes::new()),
            },
        })
    }
}
