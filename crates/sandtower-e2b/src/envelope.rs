//! The envelopes of Connect's streams: 1 byte of flags, 4 bytes of length, big-endian, a message.
//!
//! <https://connectrpc.com/docs/protocol#streaming-rpcs>

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest message that is read or written: 4 MiB.
pub const LONGEST: usize = 4 * 1_024 * 1_024;

const COMPRESSED: u8 = 0b01;
const END: u8 = 0b10;
const PREFIX: usize = 5;

/// One message of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whether it is the last: its message then says how the stream ended.
    pub is_end: bool,
    /// The message.
    pub message: Bytes,
}

/// Messages may hold secrets: only the length is shown.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("is_end", &self.is_end)
            .field("len", &self.message.len())
            .finish()
    }
}

/// This is no stream of envelopes, or not the whole of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A message is longer than is allowed.
    #[error("a message of {len} bytes is longer than the {longest} allowed")]
    TooLong {
        /// Its length.
        len: usize,
        /// What is allowed.
        longest: usize,
    },
    /// A message is compressed, which nobody asked for.
    #[error("a message is compressed")]
    Compressed,
    /// A message has flags that the protocol does not define.
    #[error("a message has the unknown flags {0:#04x}")]
    UnknownFlags(u8),
    /// There is more behind the last message.
    #[error("there is data behind the end of the stream")]
    BehindEnd,
    /// The stream stopped without saying that it ended.
    #[error("the stream stopped before its end")]
    Unfinished,
}

/// The envelope of one message that is not the last.
///
/// # Errors
///
/// [`EnvelopeError::TooLong`] for a message above [`LONGEST`].
pub fn encode(message: &[u8]) -> Result<Bytes, EnvelopeError> {
    let len = message.len();
    let too_long = EnvelopeError::TooLong { len, longest: LONGEST };
    let prefix = u32::try_from(len).ok().filter(|_| len <= LONGEST).ok_or(too_long)?;
    let mut envelope = BytesMut::with_capacity(PREFIX + len);
    envelope.put_u8(0);
    envelope.put_u32(prefix);
    envelope.put_slice(message);
    Ok(envelope.freeze())
}

/// Takes envelopes out of a stream that arrives in pieces, however it was cut.
///
/// It holds no more than one message of the allowed length and the piece pushed last, provided that
/// all messages are taken before more is pushed. After an error every further message is that error.
///
/// ```
/// use sandtower_e2b::envelope::{Decoder, encode};
///
/// let stream = encode(b"{}")?;
/// let mut decoder = Decoder::new();
/// decoder.push(&stream[..3]);
/// assert_eq!(decoder.message()?, None);
/// decoder.push(&stream[3..]);
/// assert_eq!(decoder.message()?.map(|envelope| envelope.message), Some("{}".into()));
/// # Ok::<(), sandtower_e2b::envelope::EnvelopeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    longest: usize,
    ended: bool,
    failed: Option<EnvelopeError>,
}

impl Decoder {
    /// Allows messages up to [`LONGEST`].
    pub fn new() -> Self {
        Self::with_longest(LONGEST)
    }

    /// Allows messages up to `longest` bytes.
    pub fn with_longest(longest: usize) -> Self {
        Self { buffer: BytesMut::new(), longest, ended: false, failed: None }
    }

    /// The next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        // What cannot be decoded any more is not kept.
        if self.failed.is_none() {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next whole message; `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// What has arrived is no stream of envelopes.
    pub fn message(&mut self) -> Result<Option<Envelope>, EnvelopeError> {
        let decoded = match self.failed {
            Some(error) => Err(error),
            None => self.decode(),
        };
        if let Err(error) = decoded {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        }
        decoded
    }

    /// Checks that the stream, of which there is no more, ended as it should.
    ///
    /// # Errors
    ///
    /// It stopped before its last message, or did not decode.
    pub fn finish(&self) -> Result<(), EnvelopeError> {
        match self.failed {
            Some(error) => Err(error),
            None if !self.ended => Err(EnvelopeError::Unfinished),
            None if !self.buffer.is_empty() => Err(EnvelopeError::BehindEnd),
            None => Ok(()),
        }
    }

    fn decode(&mut self) -> Result<Option<Envelope>, EnvelopeError> {
        if self.ended && !self.buffer.is_empty() {
            return Err(EnvelopeError::BehindEnd);
        }
        let Some((&[flags, a, b, c, d], _)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        match flags {
            0 | END => {}
            flags if flags & !(COMPRESSED | END) != 0 => {
                return Err(EnvelopeError::UnknownFlags(flags));
            }
            _ => return Err(EnvelopeError::Compressed),
        }
        if len > self.longest {
            return Err(EnvelopeError::TooLong { len, longest: self.longest });
        }
        if self.buffer.len() - PREFIX < len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        self.ended = flags == END;
        Ok(Some(Envelope { is_end: self.ended, message: self.buffer.split_to(len).freeze() }))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(message: &[u8]) -> Vec<u8> {
        let mut envelope = encode(message).unwrap().to_vec();
        envelope[0] = END;
        envelope
    }

    /// All messages of a stream that arrives in pieces of these lengths, or in one.
    fn decode(stream: &[u8], cuts: &[usize]) -> Result<Vec<Envelope>, EnvelopeError> {
        let mut decoder = Decoder::new();
        let mut messages = Vec::new();
        let mut rest = stream;
        let mut cuts = cuts.iter();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len()));
            let (piece, behind) = rest.split_at(cut);
            decoder.push(piece);
            while let Some(message) = decoder.message()? {
                messages.push(message);
            }
            rest = behind;
        }
        decoder.finish().map(|()| messages)
    }

    #[test]
    fn a_stream_is_its_messages_and_its_end() {
        let stream = [&encode(b"one").unwrap()[..], &encode(b"").unwrap(), &end(b"{}")].concat();
        let messages = decode(&stream, &[]).unwrap();
        let texts: Vec<_> = messages.iter().map(|envelope| &envelope.message[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"{}"]);
        assert_eq!(messages.iter().filter(|envelope| envelope.is_end).count(), 1);
    }

    #[test]
    fn a_length_above_the_cap_is_rejected_before_any_of_it_is_held() {
        let mut decoder = Decoder::with_longest(9);
        decoder.push(&[0, 0, 0, 0, 10]);
        let error = EnvelopeError::TooLong { len: 10, longest: 9 };
        assert_eq!(decoder.message(), Err(error));
        decoder.push(b"0123456789");
        assert_eq!(decoder.message(), Err(error), "it stays failed");
        assert_eq!(
            encode(&vec![0; LONGEST + 1]).unwrap_err(),
            EnvelopeError::TooLong { len: LONGEST + 1, longest: LONGEST }
        );
    }

    #[test]
    fn a_stream_that_stops_is_not_taken_for_one_that_ended() {
        let whole = encode(b"one").unwrap();
        assert_eq!(decode(&whole, &[]), Err(EnvelopeError::Unfinished));
        assert_eq!(decode(&whole[..4], &[]), Err(EnvelopeError::Unfinished));
        assert_eq!(Decoder::new().finish(), Err(EnvelopeError::Unfinished));
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_an_error() {
        assert_eq!(decode(&[COMPRESSED, 0, 0, 0, 0], &[]), Err(EnvelopeError::Compressed));
        assert_eq!(decode(b"<html>", &[]), Err(EnvelopeError::UnknownFlags(b'<')));
        assert_eq!(decode(&[&end(b"")[..], b"x"].concat(), &[]), Err(EnvelopeError::BehindEnd));
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_messages_are_the_same(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in proptest::collection::vec(1..12_usize, 0..80),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend_from_slice(&encode(message).unwrap());
            }
            stream.extend(end(b"{}"));
            let decoded = decode(&stream, &cuts).unwrap();
            prop_assert_eq!(decoded.len(), messages.len() + 1);
            for (decoded, sent) in decoded.iter().zip(&messages) {
                prop_assert_eq!(&decoded.message[..], &sent[..]);
            }
        }

        #[test]
        fn garbage_never_panics_and_is_the_same_garbage_however_it_is_cut(
            garbage in proptest::collection::vec(prop_oneof![0..3_u8, any::<u8>()], 0..64),
            cuts in proptest::collection::vec(1..9_usize, 0..64),
        ) {
            prop_assert_eq!(decode(&garbage, &cuts), decode(&garbage, &[]));
        }
    }
}
