use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use sandtower_core::Seed;

use crate::CallId;

/// What the keys of our own begin with. No caller may use such keys.
pub(crate) const PREFIX: &str = "sandtower_";

/// The metadata that names the call a sandbox was created for: a [`CallId`].
pub const CALL_KEY: &str = "sandtower_call";
/// The metadata that says which attempt of its call made a sandbox: a number from 1. Not there where
/// an `Idempotency-Key` is sent, since then all attempts have to be the same to the byte.
pub const ATTEMPT_KEY: &str = "sandtower_attempt";
/// The metadata that names who created a sandbox: an [`Owner`].
pub const OWNER_KEY: &str = "sandtower_owner";

/// Names who creates sandboxes, so that one listing finds all that one process made, and an operator
/// finds what it left behind when it crashed.
///
/// 1 to 64 of the characters `[a-z0-9-]`. Random unless it is given.
///
/// ```
/// use sandtower_e2b::Owner;
///
/// let owner: Owner = "worker-7".parse()?;
/// assert!("Worker 7".parse::<Owner>().is_err());
/// # let _ = owner;
/// # Ok::<(), sandtower_e2b::NotAnOwner>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

/// This is no name of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner has 1 to 64 of the characters `a` to `z`, `0` to `9` and `-`")]
#[non_exhaustive]
pub struct NotAnOwner;

impl Owner {
    /// A name out of `seed`.
    pub(crate) fn random(seed: &Seed) -> Self {
        Self(format!("{:016x}", seed.rng().u64(..)).into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = NotAnOwner;

    fn from_str(text: &str) -> Result<Self, NotAnOwner> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(NotAnOwner)
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was written on a sandbox when it was created: for which call, and by which attempt of it.
///
/// Read from the metadata of a [`SandboxInfo`](crate::SandboxInfo), where these keys are left beside
/// the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Marks {
    /// The call.
    pub call: CallId,
    /// The attempt, from 1; `None` if it was sent with an `Idempotency-Key`.
    pub attempt: Option<u32>,
}

impl Marks {
    /// The marks in `metadata`; `None`: it was not made by a call with an id.
    pub fn read(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let call = metadata.get(CALL_KEY)?.parse().ok()?;
        let attempt = metadata.get(ATTEMPT_KEY).and_then(|number| number.parse().ok());
        Some(Self { call, attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_others_are_none() {
        let call = CallId::new(&Seed::fixed(1));
        let mut metadata = BTreeMap::from([(CALL_KEY.to_owned(), call.to_string())]);
        assert_eq!(Marks::read(&metadata), Some(Marks { call, attempt: None }));
        metadata.insert(ATTEMPT_KEY.to_owned(), "2".to_owned());
        assert_eq!(Marks::read(&metadata), Some(Marks { call, attempt: Some(2) }));
        metadata.insert(CALL_KEY.to_owned(), "mine".to_owned());
        assert_eq!(Marks::read(&metadata), None);
    }

    #[test]
    fn an_owner_can_be_written_wherever_it_has_to_be() {
        assert!(Owner::random(&Seed::fixed(1)).as_str().parse::<Owner>().is_ok());
        for text in ["", "A", "a b", "a_b", "a%", &"a".repeat(65)] {
            assert_eq!(text.parse::<Owner>(), Err(NotAnOwner), "{text}");
        }
    }
}
