use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::secret;

/// Names a virtual key, without opening anything: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

/// Not a [`KeyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key is 16 hexadecimal digits")]
#[non_exhaustive]
pub struct NotAKeyId;

impl KeyId {
    /// A new one. `None`: the system gives no random numbers.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 8];
        secret::fill(&mut bytes)?;
        Some(Self::new(u64::from_be_bytes(bytes)))
    }

    /// That of the key with this name in the file: the same at each start.
    pub(super) fn declared(name: &str) -> Self {
        let digest = Sha256::new().chain_update("declared:").chain_update(name).finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self::new(u64::from_be_bytes(first))
    }

    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == 16 && text.bytes().all(is_hex);
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_id);
        number.map(Self).ok_or(NotAKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = KeyId::declared("search");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, KeyId::declared("searcH"));
        assert_ne!(KeyId::random(), KeyId::random());
        for bad in ["", "0", "00000000000000G0", "00000000000000A0", "+000000000000000"] {
            assert_eq!(bad.parse::<KeyId>(), Err(NotAKeyId), "{bad}");
        }
    }
}
