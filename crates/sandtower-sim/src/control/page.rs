//! Where one page of a list ends and the next one begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The last sandbox of a page: the number of the request that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) u64);

impl Cursor {
    /// The token that a client sends back; it means nothing to the client.
    pub(super) fn token(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.to_be_bytes())
    }

    pub(super) fn parse(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_its_cursor() {
        assert_eq!(Cursor::parse(&Cursor(77).token()), Some(Cursor(77)));
        for bad in ["", "x", "AAAA", "!!!!!!!!!!!"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
