use std::time::Duration;

/// The longest accepted delay, in seconds: 2^31, the limit for caches in RFC 9111 section 1.2.2. No server
/// means more.
pub(super) const LONGEST: u64 = 1 << 31;

/// Digits only: no sign, no blanks, no exponent.
pub(super) fn whole(value: &str) -> Option<u64> {
    // `str::parse` alone would accept a `+`.
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// Seconds with or without decimals, rounded up to the nanosecond.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    decimal(value, 9)
}

/// Milliseconds with or without decimals, rounded up to the nanosecond.
pub(super) fn millis(value: &str) -> Option<Duration> {
    decimal(value, 6)
}

/// A decimal number of units of 10^`digits` nanoseconds.
fn decimal(value: &str, digits: usize) -> Option<Duration> {
    let (units, decimals) = value.split_once('.').unwrap_or((value, "0"));
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos_of_a_unit = 10_u64.pow(u32::try_from(digits).ok()?);
    let most = LONGEST * (1_000_000_000 / nanos_of_a_unit);
    let units = whole(units).filter(|units| *units <= most)?;
    let digit = |at: usize| decimals.as_bytes().get(at).map_or(0, |byte| u64::from(byte - b'0'));
    let nanos = (0..digits).fold(0, |nanos, at| nanos * 10 + digit(at));
    let rest = decimals.bytes().skip(digits).any(|byte| byte != b'0');
    Some(Duration::from_nanos(units * nanos_of_a_unit + nanos + u64::from(rest)))
}
