//! The envelopes of Connect streams: 1 byte of flags, 4 bytes of length (big-endian), then the message.
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
    /// Whether this is the last message, which says how the stream ended.
    pub is_end: bool,
    /// The message.
    pub message: Bytes,
}

/// Messages may hold secrets, so only the length is shown.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("is_end", &self.is_end)
            .field("len", &self.message.len())
            .finish()
    }
}

/// The bytes are not a stream of envelopes, or an envelope is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A message is longer than allowed.
    #[error("a message of {len} bytes is longer than the {longest} allowed")]
    TooLong {
        /// The length of the message.
        len: usize,
        /// The limit.
        longest: usize,
    },
    /// A message is compressed, although compression was not negotiated.
    #[error("a message is compressed")]
    Compressed,
    /// A message has undefined flags.
    #[error("a message has the unknown flags {0:#04x}")]
    UnknownFlags(u8),
    /// Bytes follow the last message.
    #[error("there is data behind the end of the stream")]
    BehindEnd,
    /// The stream stopped before its last message.
    #[error("the stream stopped before its end")]
    Unfinished,
}

/// The envelope of a message that is not the last.
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

/// Decodes envelopes from a stream, wherever its chunks begin.
///
/// Memory is bounded by one message of the allowed length and the chunk pushed last, provided that all
/// messages are read before more is pushed. After an error every further read returns that error.
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

    /// Adds the next chunk of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        // A stream that failed is not buffered any further.
        if self.failed.is_none() {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next complete message; `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// The bytes so far are not a valid stream of envelopes.
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

    /// Checks that the stream ended with its last message.
    ///
    /// # Errors
    ///
    /// It stopped before its last message, or could not be decoded.
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

/// Messages may hold secrets, so only the length of the buffer is shown.
impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("buffered", &self.buffer.len())
            .field("longest", &self.longest)
            .field("ended", &self.ended)
            .field("failed", &self.failed)
            .finish()
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

    /// All messages of a stream that arrives in chunks of these lengths, or in one.
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
    fn a_stream_yields_its_messages_and_its_end() {
        let stream = [&encode(b"one").unwrap()[..], &encode(b"").unwrap(), &end(b"{}")].concat();
        let messages = decode(&stream, &[]).unwrap();
        let texts: Vec<_> = messages.iter().map(|envelope| &envelope.message[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"{}"]);
        assert_eq!(messages.iter().filter(|envelope| envelope.is_end).count(), 1);
    }

    #[test]
    fn a_length_above_the_cap_is_rejected_before_it_is_buffered() {
        let mut decoder = Decoder::with_longest(9);
        decoder.push(&[0, 0, 0, 0, 10]);
        let error = EnvelopeError::TooLong { len: 10, longest: 9 };
        assert_eq!(decoder.message(), Err(error));
        decoder.push(b"0123456789");
        assert_eq!(decoder.message(), Err(error), "the error is permanent");
        assert_eq!(
            encode(&vec![0; LONGEST + 1]).unwrap_err(),
            EnvelopeError::TooLong { len: LONGEST + 1, longest: LONGEST }
        );
    }

    #[test]
    fn a_truncated_stream_has_not_ended() {
        let whole = encode(b"one").unwrap();
        assert_eq!(decode(&whole, &[]), Err(EnvelopeError::Unfinished));
        assert_eq!(decode(&whole[..4], &[]), Err(EnvelopeError::Unfinished));
        assert_eq!(Decoder::new().finish(), Err(EnvelopeError::Unfinished));
    }

    #[test]
    fn debug_does_not_show_the_buffer() {
        let mut decoder = Decoder::new();
        decoder.push(&encode(b"tok_secret").unwrap());
        let shown = format!("{decoder:?}");
        let message = decoder.message().unwrap().unwrap();
        for shown in [shown, format!("{message:?}")] {
            assert!(!shown.contains("secret") && !shown.contains("116"), "{shown}");
        }
    }

    #[test]
    fn a_violation_of_the_protocol_is_an_error() {
        assert_eq!(decode(&[COMPRESSED, 0, 0, 0, 0], &[]), Err(EnvelopeError::Compressed));
        assert_eq!(decode(b"<html>", &[]), Err(EnvelopeError::UnknownFlags(b'<')));
        assert_eq!(decode(&[&end(b"")[..], b"x"].concat(), &[]), Err(EnvelopeError::BehindEnd));
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_how_the_stream_is_split(
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
        fn garbage_never_panics_and_fails_alike_however_it_is_split(
            garbage in proptest::collection::vec(prop_oneof![0..3_u8, any::<u8>()], 0..64),
            cuts in proptest::collection::vec(1..9_usize, 0..64),
        ) {
            prop_assert_eq!(decode(&garbage, &cuts), decode(&garbage, &[]));
        }
    }
}
