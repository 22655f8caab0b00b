//! gzip, both ways and within bounds.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header::CONTENT_ENCODING};

use crate::request::Unreadable;

/// What was packed, if it is no longer than `cap`.
pub(crate) fn unpack(packed: &[u8], cap: usize) -> Result<Bytes, Unreadable> {
    let mut unpacked = Vec::new();
    // One more than allowed, so that what is too long is seen to be.
    let mut reader = MultiGzDecoder::new(packed).take(cap as u64 + 1);
    match reader.read_to_end(&mut unpacked) {
        Ok(_) if unpacked.len() > cap => Err(Unreadable::TooLong),
        Ok(_) => Ok(unpacked.into()),
        Err(_) => Err(Unreadable::Malformed),
    }
}

/// The same in gzip.
pub(crate) fn pack(plain: &[u8]) -> Bytes {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    // A vector takes all that is written.
    drop(writer.write_all(plain));
    writer.finish().unwrap_or_default().into()
}

/// Whether a request's body is in gzip.
pub(crate) fn is_packed(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_back(plain in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(unpack(&pack(&plain), 2_000).unwrap(), plain);
        }

        #[test]
        fn noise_is_an_error(noise in prop::collection::vec(any::<u8>(), 1..100)) {
            prop_assert!(unpack(&noise, 100).is_err());
        }
    }

    #[test]
    fn a_bomb_is_rejected_at_the_cap() {
        let bomb = pack(&vec![0; 10_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb, 1_000), Err(Unreadable::TooLong));
        assert_eq!(unpack(&bomb[..bomb.len() / 2], 20_000_000), Err(Unreadable::Malformed));
    }

    #[test]
    fn only_gzip_is_gzip() {
        let is = |coding: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
            is_packed(&headers)
        };
        assert!(is("gzip") && is("GZIP") && !is("identity") && !is("br") && !is("gzip, br"));
    }
}
