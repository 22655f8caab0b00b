use std::pin::Pin;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The most frames that are kept: a body of tiny ones would fill the memory below any cap on bytes.
const MOST_FRAMES: usize = 1_024;

/// What all copies of a body share: what was read of it, and the rest.
///
/// Every reader has a place, the number of frames with data that it has read. A reader that stands
/// where the reading ends borrows the rest and reads on; all others read what is kept. No code of the
/// body's or of a waker's runs under the lock.
pub(super) struct Shared<B> {
    rest: Rest<B>,
    /// What was read, while it is kept.
    frames: Vec<Bytes>,
    /// How many frames with data were read, kept or not.
    read: usize,
    /// Bytes in `frames`, and of the trailers.
    len: usize,
    cap: usize,
    /// Whether all that was read is kept.
    is_kept: bool,
    /// What `rest` said of itself when it was last here.
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
    /// It failed, or its end was not kept.
    Lost,
}

/// What is next for a reader.
pub(super) enum Next<B> {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// To be polled, and given back by [`Shared::pending`] or [`Shared::advance`].
    Poll(Pin<Box<B>>),
    /// Another reader is polling; it wakes those that wait.
    Wait,
    /// Gone: it was not kept.
    Lost,
}

/// A body that was polled, and what it says of itself since: asked before the lock is taken.
pub(super) struct Returned<B> {
    pub(super) body: Pin<Box<B>>,
    pub(super) hint: SizeHint,
    pub(super) is_empty: bool,
}

/// What the body came to.
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
            // What is known to be too long is not even begun to be kept.
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

    /// Takes the body back, which has nothing yet: whether a reader came for it meanwhile.
    pub(super) fn pending(&mut self, rest: Returned<B>) -> bool {
        self.put_back(rest);
        std::mem::take(&mut self.is_awaited)
    }

    /// Takes the body back, and keeps what it came to if another `else_reads` it. What is returned is
    /// to be dropped outside the lock.
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
                // Empty frames say nothing: they have no place.
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

    /// Whether a reader that begins now can read all of it, as far as is known now.
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

    /// What is to come for a reader.
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

    /// Bytes that are kept, for logs.
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
                // A kind of frame that does not exist yet: it has no data.
                Err(_) => Self::Data(Bytes::new()),
            },
        })
    }
}
