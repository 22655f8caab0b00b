//! Signed URLs: they name no sandbox, and only one token has made their signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

/// What a signed URL for a file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// `path:operation:user:`.
    head: String,
    /// `:expiration`, or nothing.
    tail: String,
    digest: String,
}

impl Signed {
    /// Reads the query of a URL for a file that is read or, if it `writes`, written; `None`: it is not
    /// signed.
    pub(crate) fn read(query: &str, writes: bool) -> Option<Self> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| decoded(value))
        };
        let digest = value("signature")?.strip_prefix("v1_")?.trim_end_matches('=').to_owned();
        let operation = if writes { "write" } else { "read" };
        let (path, user) = (value("path").unwrap_or_default(), value("username"));
        let head = format!("{path}:{operation}:{}:", user.unwrap_or_default());
        let tail = value("signature_expiration").map(|time| format!(":{time}"));
        Some(Self { head, tail: tail.unwrap_or_default(), digest })
    }

    /// Whether it was signed with `token`.
    pub(crate) fn is_by(&self, token: &str) -> bool {
        let digest = Sha256::new()
            .chain_update(&self.head)
            .chain_update(token)
            .chain_update(&self.tail)
            .finalize();
        STANDARD_NO_PAD.encode(digest) == self.digest
    }
}

/// A value of a query, decoded as forms are.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = &after[2..];
                    high << 4 | low
                }
                _ => byte,
            },
            _ => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_as_forms_are() {
        assert_eq!(decoded("a+b%2Fc%zz%"), "a b/c%zz%");
        assert_eq!(decoded("%C3%A9"), "\u{e9}");
    }

    #[test]
    fn an_expiration_is_signed_too() {
        let signed = |query| Signed::read(query, false).unwrap();
        let with = signed("path=a&signature=v1_x%3D&signature_expiration=170");
        assert_eq!((&*with.head, &*with.tail, &*with.digest), ("a:read::", ":170", "x"));
        assert_eq!(Signed::read("path=a&username=b", false), None);
        assert_eq!(Signed::read("signature=v2_x", false), None);
    }
}
