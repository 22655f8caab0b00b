//! What opens: made of random bytes, and kept as a hash.

use std::fmt;
use std::fmt::Write as _;

use sandtower::e2b::Secret;
use sha2::{Digest as _, Sha256};

/// As many as in the service's own keys: 160 bits.
const BYTES: usize = 20;

/// What keys of the service begin with. Older SDKs check it, and that lower-case hexadecimal digits follow.
const PREFIX: &str = "e2b_";

/// The SHA-256 of a secret.
///
/// A fast hash is right here: it is of 160 random bits, which no list of words and no amount of guesses
/// finds. A slow one is for passwords; here it would let a stranger keep the gateway busy with keys that
/// are made up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hash(pub(super) [u8; 32]);

impl Hash {
    pub(super) fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// `None`: the text is not 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A hash cannot be turned back, and is still nothing for a log.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

/// A new secret. `None`: the system gives no random numbers.
pub(super) fn new() -> Option<Secret> {
    let mut bytes = [0; BYTES];
    fill(&mut bytes)?;
    let mut text = String::with_capacity(PREFIX.len() + 2 * BYTES);
    text.push_str(PREFIX);
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(Secret::new(text))
}

/// Fills `bytes` from the system's random source, by the way TLS does.
pub(super) fn fill(bytes: &mut [u8]) -> Option<()> {
    rustls::crypto::ring::default_provider().secure_random.fill(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_form_that_older_sdks_check() {
        let (one, other) = (new().unwrap(), new().unwrap());
        assert_ne!(one.expose(), other.expose());
        let digits = one.expose().strip_prefix("e2b_").unwrap();
        assert_eq!(digits.len(), 40);
        assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }

    #[test]
    fn a_hash_is_read_as_sha256sum_writes_it() {
        let written = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::parse(written), Some(Hash::of(b"abc")));
        assert_eq!(Hash::parse(&written.to_uppercase()), Some(Hash::of(b"abc")));
        for bad in ["", "ba", &written[1..], &written.replace('b', "g"), &format!("{written}00")] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{:?}", Hash::of(b"abc")), "Hash(***)");
    }
}
