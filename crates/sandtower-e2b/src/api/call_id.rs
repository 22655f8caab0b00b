use std::str::FromStr;

use sandtower_core::Seed;

/// The id of one call, in errors, in events and in the metadata of the sandbox that the call creates.
///
/// All attempts of a call share it; layers find it in the extensions of the request. Its text form is
/// 32 characters of `[0-9a-f]`.
///
/// ```
/// use sandtower_core::Seed;
/// use sandtower_e2b::CallId;
///
/// let id = CallId::new(&Seed::fixed(7));
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

/// Not the id of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call id has 32 of the characters `0` to `9` and `a` to `f`")]
#[non_exhaustive]
pub struct NotACallId;

impl CallId {
    /// The next id drawn from `seed`. Ids repeat only if the same seed is drawn from in the same order.
    pub fn new(seed: &Seed) -> Self {
        Self(seed.rng().u128(..))
    }

    /// The id of the call that its caller names by an `Idempotency-Key`: the same for the same key, in any
    /// process and any version. FNV-1a of 128 bits: of one team's keys no two collide by chance.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        Self(key.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME)))
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CallId({self})")
    }
}

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let allowed = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(allowed) {
            return Err(NotACallId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotACallId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_repeat_with_their_seed() {
        let (seed, again) = (Seed::fixed(1), Seed::fixed(1));
        let ids: Vec<CallId> = (0..100).map(|_| CallId::new(&seed)).collect();
        assert!((1..ids.len()).all(|at| !ids[..at].contains(&ids[at])));
        assert!(ids.iter().all(|id| CallId::new(&again) == *id));
    }

    #[test]
    fn a_key_names_the_same_call_forever() {
        let id = CallId::of_key(b"foobar");
        // FNV's own test vector.
        assert_eq!(id.to_string(), "343e1662793c64bf6f0d3597ba446f18");
        assert_ne!(id, CallId::of_key(b"foobas"));
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        let id = CallId::new(&Seed::fixed(1)).to_string();
        for text in ["", "a", &id[1..], &id.to_uppercase(), &format!("+{}", &id[1..])] {
            assert_eq!(text.parse::<CallId>(), Err(NotACallId), "{text}");
        }
    }
}
