//! Parses the stream of a process as it arrives; no I/O.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::api::error_body::ErrorBody;
use crate::envelope::{Decoder, EnvelopeError};

use super::event::{Message, Nonsense, ProcessEvent, read, read_last};

/// Reads the envelopes of `Process/Start` and `Process/Connect`.
///
/// The stream ends with its last envelope; anything after it is ignored.
#[derive(Default)]
pub(crate) struct ProcessStream {
    decoder: Decoder,
    stdout: WholeCharacters,
    stderr: WholeCharacters,
    ready: VecDeque<Step>,
    exited: bool,
    over: bool,
}

/// The next step of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The process runs.
    Started {
        pid: u32,
    },
    Event(ProcessEvent),
    /// The stream ended properly.
    End,
}

/// Why a stream failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("envd sent something other than a stream of envelopes")]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
    #[error("the stream did not begin with the number of a process")]
    NoStart,
    #[error("the stream ended before the process did")]
    NoEnd,
    #[error("envd reported an error")]
    Reported(ErrorBody),
}

impl ProcessStream {
    /// Adds the next chunk of the body.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.decoder.push(piece);
    }

    /// The next step in the chunks so far; `None`: more chunks are needed.
    ///
    /// # Errors
    ///
    /// The stream is broken, or it ended with an error.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, Broken> {
        while self.ready.is_empty() && !self.over {
            let Some(envelope) = self.decoder.message()? else { return Ok(None) };
            if envelope.is_end {
                self.over = true;
                if let Some(body) = read_last(&envelope.message)? {
                    return Err(Broken::Reported(body));
                }
                if !self.exited {
                    return Err(Broken::NoEnd);
                }
                self.ready.push_back(Step::End);
            } else {
                self.read(&envelope.message)?;
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Why a body that ended here is incomplete.
    pub(crate) fn cut_off(&self) -> Broken {
        self.decoder.finish().map_or_else(Broken::Envelope, |()| Broken::NoEnd)
    }

    fn read(&mut self, message: &[u8]) -> Result<(), Nonsense> {
        let event = match read(message)? {
            Message::Started { pid } => Step::Started { pid },
            Message::Alive => return Ok(()),
            Message::Event(ProcessEvent::Stdout(piece)) => match self.stdout.push(piece) {
                Some(piece) => Step::Event(ProcessEvent::Stdout(piece)),
                None => return Ok(()),
            },
            Message::Event(ProcessEvent::Stderr(piece)) => match self.stderr.push(piece) {
                Some(piece) => Step::Event(ProcessEvent::Stderr(piece)),
                None => return Ok(()),
            },
            Message::Event(ProcessEvent::Exit(exit)) => {
                self.exited = true;
                let rest = [
                    self.stdout.rest().map(ProcessEvent::Stdout),
                    self.stderr.rest().map(ProcessEvent::Stderr),
                ];
                self.ready.extend(rest.into_iter().flatten().map(Step::Event));
                Step::Event(ProcessEvent::Exit(exit))
            }
        };
        self.ready.push_back(event);
        Ok(())
    }
}

/// Holds back an incomplete UTF-8 character until the rest arrives, so that each chunk can be decoded by
/// itself. Invalid UTF-8 passes unchanged.
#[derive(Default)]
struct WholeCharacters {
    held: BytesMut,
}

impl WholeCharacters {
    fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        let mut piece = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                self.held.split().freeze()
            }
        };
        let whole = piece.len() - unfinished(&piece);
        self.held.extend_from_slice(&piece[whole..]);
        piece.truncate(whole);
        (!piece.is_empty()).then_some(piece)
    }

    fn rest(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

/// The number of bytes at the end of `bytes` that begin an incomplete character: at most 3.
fn unfinished(bytes: &[u8]) -> usize {
    let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let last = bytes.len().saturating_sub(3);
    let Some(lead) = bytes[last..].iter().rposition(|byte| !is_continuation(byte)) else {
        return 0;
    };
    let character = &bytes[last + lead..];
    match std::str::from_utf8(character) {
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => character.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::encode;

    fn end() -> Vec<u8> {
        let mut last = encode(b"{}").unwrap().to_vec();
        last[0] = 2;
        last
    }

    /// The events of a process that prints `pieces`, as text each.
    fn printed(pieces: &[&[u8]], is_error: bool) -> Vec<String> {
        let name = if is_error { "stderr" } else { "stdout" };
        let mut stream = ProcessStream::default();
        stream.push(&encode(br#"{"event":{"start":{"pid":7}}}"#).unwrap());
        for piece in pieces {
            let data = STANDARD.encode(piece);
            let message = format!(r#"{{"event":{{"data":{{"{name}":"{data}"}}}}}}"#);
            stream.push(&encode(message.as_bytes()).unwrap());
        }
        stream.push(&encode(br#"{"event":{"end":{"exited":true}}}"#).unwrap());
        stream.push(&end());
        assert_eq!(stream.next().unwrap(), Some(Step::Started { pid: 7 }));
        let mut texts = Vec::new();
        loop {
            match stream.next().unwrap().unwrap() {
                Step::Event(ProcessEvent::Stdout(piece) | ProcessEvent::Stderr(piece)) => {
                    texts.push(String::from_utf8_lossy(&piece).into_owned());
                }
                Step::Event(ProcessEvent::Exit(_)) => {}
                Step::End => return texts,
                Step::Started { .. } => panic!("it started twice"),
            }
        }
    }

    #[test]
    fn text_that_arrives_one_byte_per_message_is_not_garbled() {
        for text in ["grüße", "日本語", "🦀🦀", "plain"] {
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            for is_error in [false, true] {
                assert_eq!(printed(&bytes, is_error).concat(), text);
            }
        }
    }

    #[test]
    fn invalid_utf_8_passes_unchanged_and_a_truncated_character_precedes_the_exit() {
        assert_eq!(printed(&[b"\xff\xfe", b"a\x80"], false), ["\u{fffd}\u{fffd}", "a\u{fffd}"]);
        assert_eq!(printed(&["é".as_bytes(), b"\xe2\x82"], false), ["é", "\u{fffd}"]);
    }

    #[test]
    fn a_stream_truncated_anywhere_is_broken() {
        let mut whole = encode(br#"{"event":{"start":{"pid":7}}}"#).unwrap().to_vec();
        whole.extend(encode(br#"{"event":{"end":{"exited":true}}}"#).unwrap());
        whole.extend(end());
        for cut in 0..whole.len() {
            let mut stream = ProcessStream::default();
            stream.push(&whole[..cut]);
            while let Some(step) = stream.next().unwrap() {
                assert_ne!(step, Step::End, "{cut}");
            }
            let _says_why: Broken = stream.cut_off();
        }
    }

    proptest! {
        #[test]
        fn output_keeps_its_bytes_and_whole_characters_however_it_is_split(
            text in "\\PC{0,20}", cut in 1..5_usize,
        ) {
            let mut characters = WholeCharacters::default();
            let mut all = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                if let Some(piece) = characters.push(Bytes::copy_from_slice(piece)) {
                    prop_assert!(std::str::from_utf8(&piece).is_ok());
                    all.extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(characters.rest(), None);
            prop_assert_eq!(all, text.into_bytes());
        }

        #[test]
        fn any_bytes_are_kept(bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 1..5_usize) {
            let mut characters = WholeCharacters::default();
            let mut all = Vec::new();
            for piece in bytes.chunks(cut) {
                all.extend(characters.push(Bytes::copy_from_slice(piece)).into_iter().flatten());
            }
            all.extend(characters.rest().into_iter().flatten());
            prop_assert_eq!(all, bytes);
        }
    }
}
