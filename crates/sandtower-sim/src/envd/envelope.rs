//! Envelopes: how messages follow each other in a Connect stream.
//!
//! One byte of flags, four bytes of length (big-endian), the message.

use bytes::{BufMut as _, BytesMut};
use serde_json::json;

use super::connect::{Code, Error};
use super::*;
use crate::gzip;
use crate::request::Unreadable;

const HEAD: usize = 5;
const COMPRESSED: u8 = 0x01;
const LAST: u8 = 0x02;

/// The first message of a request's body; messages may be packed if `packed`.
pub(super) fn first(body: &Bytes, max: usize, packed: bool) -> Result<Bytes, Error> {
    let (flags, message, _) = split(body, max)?;
    open(flags, message, max, packed)
}

/// All messages of a request's body, up to the last envelope if there is one. Unpacked they may
/// together be as long as `max`.
pub(super) fn all(body: &Bytes, max: usize, packed: bool) -> Result<Vec<Bytes>, Error> {
    let (mut messages, mut rest) = (Vec::new(), body.clone());
    let mut left = max;
    while !rest.is_empty() && rest[0] != LAST {
        let (flags, message, after) = split(&rest, max)?;
        let message = open(flags, message, left, packed)?;
        left = left.saturating_sub(message.len());
        messages.push(message);
        rest = after;
    }
    Ok(messages)
}

/// The flags of the first envelope, what it holds, and what follows it; both lie in the body and
/// are not copied.
fn split(body: &Bytes, max: usize) -> Result<(u8, Bytes, Bytes), Error> {
    let Some((&[flags, a, b, c, d], rest)) = body.split_first_chunk::<HEAD>() else {
        return Err(broken("incomplete envelope: unexpected EOF"));
    };
    if flags & !COMPRESSED != 0 {
        return Err(broken(&format!("invalid envelope flags {flags}")));
    }
    let promised = u32::from_be_bytes([a, b, c, d]) as usize;
    if promised > max {
        return Err(too_large(promised, max));
    }
    if rest.len() < promised {
        let got = rest.len();
        return Err(broken(&format!("promised {promised} bytes in enveloped message, got {got}")));
    }
    let end = HEAD + promised;
    Ok((flags, body.slice(HEAD..end), body.slice(end..)))
}

fn open(flags: u8, message: Bytes, max: usize, packed: bool) -> Result<Bytes, Error> {
    if flags & COMPRESSED == 0 {
        return if message.len() > max { Err(too_large(message.len(), max)) } else { Ok(message) };
    }
    if !packed {
        let message = "protocol error: sent compressed message without compression support";
        return Err(Error::new(Code::INTERNAL, message));
    }
    gzip::unpack(&message, max).map_err(|unreadable| match unreadable {
        Unreadable::TooLong => too_large(max.saturating_add(1), max),
        Unreadable::Malformed => not_gzip(),
    })
}

fn broken(what: &str) -> Error {
    Error::new(Code::INVALID_ARGUMENT, format!("protocol error: {what}"))
}

/// What is said to be gzip is not.
pub(super) fn not_gzip() -> Error {
    Error::new(Code::INVALID_ARGUMENT, "get decompressor: gzip: invalid header")
}

/// A message that is longer than allowed.
pub(super) fn too_large(size: usize, max: usize) -> Error {
    let message = format!("message size {size} is larger than configured max {max}");
    Error::new(Code::RESOURCE_EXHAUSTED, message)
}

/// A message in its envelope.
pub(super) fn message(message: &impl Serialize) -> Bytes {
    seal(0, message)
}

/// The last envelope of a stream.
pub(super) fn last(error: Option<&Error>) -> Bytes {
    seal(LAST, &error.map_or(json!({}), |error| json!({ "error": error.json() })))
}

fn seal(flags: u8, message: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(message).unwrap_or_default();
    let mut sealed = BytesMut::with_capacity(HEAD + json.len());
    sealed.put_u8(flags);
    // What is sent is at most a few times as long as what is read, which is far less.
    sealed.put_u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
    sealed.put_slice(&json);
    sealed.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back_in_their_order(texts in prop::collection::vec(".{0,20}", 0..6)) {
            let mut body = BytesMut::new();
            texts.iter().for_each(|text| body.extend_from_slice(&message(text)));
            body.extend_from_slice(&last(None));
            let read = all(&body.freeze(), 1_000, false).unwrap();
            let read: Vec<String> =
                read.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
            prop_assert_eq!(read, texts);
        }

        #[test]
        fn nothing_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let noise = Bytes::from(noise);
            if let Ok(messages) = all(&noise, 32, true) {
                let held: usize = messages.iter().map(Bytes::len).sum();
                prop_assert!(held <= 32);
            }
        }
    }

    #[test]
    fn a_message_comes_back() {
        let sealed = message(&"hi");
        assert_eq!(&sealed[..], b"\0\0\0\0\x04\"hi\"");
        assert_eq!(first(&sealed, 100, false).unwrap(), "\"hi\"");
        assert_eq!(&last(None)[..], b"\x02\0\0\0\x02{}");
    }

    #[test]
    fn packed_messages_are_unpacked_within_their_bound_all_together() {
        let packed = |text: &str| {
            let packed = gzip::pack(text.as_bytes());
            let mut sealed = BytesMut::from(&[COMPRESSED][..]);
            sealed.put_u32(u32::try_from(packed.len()).unwrap());
            sealed.put_slice(&packed);
            sealed.freeze()
        };
        assert_eq!(first(&packed("hi"), 100, true).unwrap(), "hi");
        let twice = [packed(&"x".repeat(60)), packed(&"y".repeat(60))].concat();
        assert_eq!(all(&twice.clone().into(), 120, true).unwrap().len(), 2);
        assert!(all(&twice.into(), 119, true).is_err());
        assert!(first(&Bytes::from_static(b"\x01\0\0\0\x02{}"), 100, true).is_err());
    }

    #[test]
    fn broken_envelopes_are_errors() {
        for (body, says) in [
            (&b""[..], "incomplete envelope"),
            (b"\0\0\0\0", "incomplete envelope"),
            (b"\0\0\0\0\x05abcd", "promised 5 bytes in enveloped message, got 4"),
            (b"\0\xff\xff\xff\xff", "message size 4294967295 is larger"),
            (b"\x01\0\0\0\0", "compressed"),
            (b"\x02\0\0\0\x02{}", "invalid envelope flags 2"),
            (b"\x80\0\0\0\0", "invalid envelope flags 128"),
        ] {
            let error = first(&Bytes::from_static(body), 100, false).unwrap_err();
            let json = error.json().to_string();
            assert!(json.contains(says), "{body:?}: {json}");
        }
    }
}
