use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use sandtower_core::Seed;

use crate::CallId;

/// The prefix of our own metadata keys. Callers may not use it.
pub(crate) const PREFIX: &str = "sandtower_";

/// The metadata key for the call that a sandbox was created for: a [`CallId`].
pub const CALL_KEY: &str = "sandtower_call";
/// The metadata key for the attempt that created a sandbox: a number from 1. Absent where an
/// `Idempotency-Key` is sent, since all attempts then have to be identical.
pub const ATTEMPT_KEY: &str = "sandtower_attempt";
/// The metadata key for the process that created a sandbox: an [`Owner`].
pub const OWNER_KEY: &str = "sandtower_owner";

/// The metadata key for the kind of stock that a sandbox was created for: set on sandboxes that are created
/// ahead of demand, by [`RawCreation::begin_ahead`](crate::RawCreation::begin_ahead).
pub const POOL_KEY: &str = "sandtower_pool";

/// The name of a process that creates sandboxes. One listing finds all sandboxes of an owner, for
/// example those that it left behind when it crashed.
///
/// 1 to 64 characters of `[a-z0-9-]`. Random by default.
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

/// Not a valid owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner has 1 to 64 of the characters `a` to `z`, `0` to `9` and `-`")]
#[non_exhaustive]
pub struct NotAnOwner;

impl Owner {
    /// A name drawn from `seed`.
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

/// The call and the attempt that created a sandbox.
///
/// Read from the metadata of a [`SandboxInfo`](crate::SandboxInfo), which keeps these keys beside the
/// caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Marks {
    /// The call.
    pub call: CallId,
    /// The attempt, from 1; `None` if an `Idempotency-Key` was sent.
    pub attempt: Option<u32>,
}

impl Marks {
    /// The marks in `metadata`; `None` if no call with an id created the sandbox.
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
    fn marks_are_read_back_and_other_metadata_has_none() {
        let call = CallId::new(&Seed::fixed(1));
        let mut metadata = BTreeMap::from([(CALL_KEY.to_owned(), call.to_string())]);
        assert_eq!(Marks::read(&metadata), Some(Marks { call, attempt: None }));
        metadata.insert(ATTEMPT_KEY.to_owned(), "2".to_owned());
        assert_eq!(Marks::read(&metadata), Some(Marks { call, attempt: Some(2) }));
        metadata.insert(CALL_KEY.to_owned(), "mine".to_owned());
        assert_eq!(Marks::read(&metadata), None);
    }

    #[test]
    fn an_owner_is_valid_wherever_it_is_sent() {
        assert!(Owner::random(&Seed::fixed(1)).as_str().parse::<Owner>().is_ok());
        for text in ["", "A", "a b", "a_b", "a%", &"a".repeat(65)] {
            assert_eq!(text.parse::<Owner>(), Err(NotAnOwner), "{text}");
        }
    }
}
