//! Chance: every thing that happens has dice of its own.
//!
//! The dice of creation number 7 are the same whatever else was asked meanwhile, so that two
//! policies that are compared under one seed meet the same luck.

use fastrand::Rng;

/// What dice are thrown for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Connection = 1,
    Creation = 2,
    Template = 3,
    Fault = 4,
    CreationFault = 5,
    Watcher = 6,
    Boot = 7,
    Snapshot = 8,
}

/// The dice for the `number`th of its kind.
pub(crate) fn dice(seed: u64, subject: Subject, number: u64) -> Rng {
    let mixed = mix(seed ^ mix(subject as u64));
    Rng::with_seed(mix(mixed.wrapping_add(number)))
}

/// Spreads neighbouring numbers over all of u64 (the finalizer of splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number for a name, for dice that are thrown once a name.
pub(crate) fn number_of(name: &str) -> u64 {
    name.bytes().fold(0, |number, byte| mix(number ^ u64::from(byte)))
}

/// A draw from the standard normal distribution.
pub(crate) fn normal(dice: &mut Rng) -> f64 {
    // Box-Muller; 1 - [0, 1) keeps the logarithm finite.
    let radius = (-2.0 * (1.0 - dice.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * dice.f64()).cos()
}

/// Whether something of this probability happens. It draws either way.
pub(crate) fn happens(dice: &mut Rng, probability: f64) -> bool {
    dice.f64() < probability
}

/// Small letters and digits, as E2B's ids are made of.
pub(crate) fn letters(dice: &mut Rng, count: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..count).map(|_| char::from(ALPHABET[dice.usize(..ALPHABET.len())])).collect()
}

/// A random UUID of version 4.
pub(crate) fn uuid(dice: &mut Rng) -> String {
    let bits = dice.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}
