use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

/// Where randomness comes from: makes generators that differ from each other, and are the same
/// ones in every run if the seed is fixed.
///
/// ```
/// use sandtower_core::Seed;
///
/// let (a, b) = (Seed::fixed(7), Seed::fixed(7));
/// let mut first = a.rng();
/// assert_eq!(first.u64(..), b.rng().u64(..));
/// assert_ne!(a.rng().u64(..), first.u64(..));
/// ```
#[derive(Clone, Debug)]
pub struct Seed(Arc<AtomicU64>);

/// The odd constant of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014): its multiples visit every u64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Seed {
    /// The same generators in every run.
    pub fn fixed(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Different generators in every process and for every seed.
    pub fn random() -> Self {
        Self::fixed(Rng::new().u64(..))
    }

    /// The next generator.
    pub fn rng(&self) -> Rng {
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Rng::with_seed(z ^ (z >> 31))
    }
}

impl Default for Seed {
    fn default() -> Self {
        Self::random()
    }
}
