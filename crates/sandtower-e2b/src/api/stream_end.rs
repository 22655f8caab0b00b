//! The end of envd's streams: what the last envelope says about the service.

use bytes::Bytes;
use sandtower_core::{Effect, Verdict};
use sandtower_http::ReadEnd;
use serde::Deserialize;

use crate::ErrorBody;

/// The most bytes of a last message that are kept; those of envd are below 1 KiB.
const LONGEST: usize = 64 * 1_024;
const PREFIX: usize = 5;
const END: u8 = 0b10;

/// The verdict on an error in the last envelope of a stream.
///
/// | code | verdict |
/// |---|---|
/// | `deadline_exceeded`, `canceled` | success: it ran for as long as requested |
/// | `unavailable`, `aborted` | transient, effect maybe |
/// | `unknown`, `internal`, `data_loss`, any unknown code | unknown, effect maybe |
/// | any other | permanent: caused by the request or by this one sandbox |
pub(crate) fn verdict_of_stream_error(body: &ErrorBody) -> Verdict {
    match body.code.as_deref() {
        Some("deadline_exceeded" | "canceled") => Verdict::success(),
        Some("unavailable" | "aborted") => Verdict::transient(Effect::Maybe),
        Some(
            "invalid_argument"
            | "not_found"
            | "already_exists"
            | "permission_denied"
            | "resource_exhausted"
            | "failed_precondition"
            | "out_of_range"
            | "unimplemented"
            | "unauthenticated",
        ) => Verdict::permanent(),
        _ => Verdict::unknown(),
    }
}

/// Finds the last envelope in a stream that passes through, and buffers none of the others.
///
/// A stream that breaks off never gets here: the body reports a transient failure. A sandbox that ends
/// resets its connections, too; a breaker does not open for failures of one resource.
#[derive(Debug, Default)]
pub(crate) struct StreamEnd {
    prefix: [u8; PREFIX],
    /// The bytes of the prefix so far.
    known: usize,
    /// The bytes of the message still to come.
    rest: usize,
    /// The message, if it is the last.
    last: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Last {
    error: Option<serde_json::Value>,
}

impl StreamEnd {
    fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.rest == 0 {
                piece = self.read_prefix(piece);
                continue;
            }
            let (now, later) = piece.split_at(self.rest.min(piece.len()));
            if let Some(last) = &mut self.last {
                last.extend(&now[..now.len().min(LONGEST - last.len())]);
            }
            self.rest -= now.len();
            piece = later;
        }
    }

    fn read_prefix<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (now, later) = piece.split_at((PREFIX - self.known).min(piece.len()));
        self.prefix[self.known..self.known + now.len()].copy_from_slice(now);
        self.known += now.len();
        if self.known == PREFIX {
            let [flags, length @ ..] = self.prefix;
            self.known = 0;
            self.rest = u32::from_be_bytes(length) as usize;
            self.last = (flags & END != 0).then(Vec::new);
        }
        later
    }
}

impl ReadEnd for StreamEnd {
    fn data(&mut self, piece: &Bytes) {
        self.read(piece);
    }

    fn verdict(self: Box<Self>) -> Option<Verdict> {
        let last: Last = serde_json::from_slice(self.last.as_deref()?).ok()?;
        let body = ErrorBody::parse(last.error?.to_string().as_bytes());
        Some(verdict_of_stream_error(&body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(flags: u8, message: &str) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[flags], &length.to_be_bytes()[..], message.as_bytes()].concat()
    }

    fn verdict(pieces: &[&[u8]]) -> Option<Verdict> {
        let mut end = Box::new(StreamEnd::default());
        pieces.iter().for_each(|piece| end.data(&Bytes::copy_from_slice(piece)));
        end.verdict()
    }

    fn ends_with(code: &str) -> Vec<u8> {
        let error = format!(r#"{{"error":{{"code":"{code}","message":"so it is"}}}}"#);
        [envelope(0, r#"{"event":{"start":{"pid":1}}}"#), envelope(END, &error)].concat()
    }

    #[test]
    fn an_error_in_the_last_envelope_is_classified_by_its_code() {
        for (code, expected) in [
            ("unavailable", Verdict::transient(Effect::Maybe)),
            ("internal", Verdict::unknown()),
            ("brand_new", Verdict::unknown()),
            ("not_found", Verdict::permanent()),
            ("deadline_exceeded", Verdict::success()),
        ] {
            assert_eq!(verdict(&[&ends_with(code)]), Some(expected), "{code}");
        }
    }

    #[test]
    fn a_stream_that_succeeds_or_breaks_off_has_no_verdict() {
        let whole = [envelope(0, "{}"), envelope(END, "{}")].concat();
        assert_eq!(verdict(&[&whole]), None);
        let broken = ends_with("internal");
        assert_eq!(verdict(&[&broken[..broken.len() - 1]]), None);
        assert_eq!(verdict(&[b"no stream at all"]), None);
        assert_eq!(verdict(&[]), None);
    }

    #[test]
    fn an_endless_last_message_is_not_buffered() {
        let mut end = StreamEnd::default();
        end.read(&[END, 0xff, 0xff, 0xff, 0xff]);
        (0..100).for_each(|_| end.read(&[b'x'; 64 * 1_024]));
        assert_eq!(end.last.map(|last| last.len()), Some(LONGEST));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_it_is_split(cuts in prop::collection::vec(0_usize..100, 0..6)) {
            let stream = ends_with("unavailable");
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= stream.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            prop_assert_eq!(verdict(&pieces), Some(Verdict::transient(Effect::Maybe)));
        }

        #[test]
        fn any_bytes_are_accepted(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = verdict(&pieces);
        }
    }
}
