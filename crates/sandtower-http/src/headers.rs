//! The header fields by which servers say "not now" and "so many are left".
//!
//! A value that makes no sense is taken for absent: what a peer sends can never make a client
//! panic, nor wait for ever.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use sandtower_core::{Advice, Allowance};

/// The longest wait that is believed, in seconds: the 2^31 at which RFC 9111 section 1.2.2 lets
/// caches stop counting. Nobody means more.
const LONGEST: u64 = 1 << 31;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");

/// How long the server asks to stay away, from `Retry-After` (RFC 9110 section 10.2.3).
///
/// Seconds are understood, with decimals too, which some servers send; dates are not yet. Servers
/// round down, so come back up to a second later than told.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
/// use sandtower_http::headers::retry_after;
///
/// let mut fields = HeaderMap::new();
/// fields.insert(RETRY_AFTER, HeaderValue::from_static("1.5"));
/// assert_eq!(retry_after(&fields), Some(Duration::from_millis(1_500)));
/// fields.insert(RETRY_AFTER, HeaderValue::from_static("-1"));
/// assert_eq!(retry_after(&fields), None);
/// ```
pub fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    seconds(text(fields, &header::RETRY_AFTER)?)
}

/// What the server tells of its rate limit, from `RateLimit-Limit`, `RateLimit-Remaining` (whole
/// numbers) and `RateLimit-Reset` (seconds from now): the three fields of
/// draft-ietf-httpapi-ratelimit-headers up to its version 06.
///
/// `None` unless all three are there and agree: more remaining than the limit is nonsense.
pub fn allowance(fields: &HeaderMap) -> Option<Allowance> {
    let limit = whole(text(fields, &LIMIT)?)?;
    let remaining = whole(text(fields, &REMAINING)?)?;
    let reset = seconds(text(fields, &RESET)?)?;
    (remaining <= limit).then(|| Allowance::new(limit, remaining, reset))
}

/// The server's explicit word on retrying, from `Should-Retry: true` or `false`.
pub fn should_retry(fields: &HeaderMap) -> Option<Advice> {
    let value = text(fields, &SHOULD_RETRY)?;
    if value.eq_ignore_ascii_case("true") {
        Some(Advice::Retry)
    } else if value.eq_ignore_ascii_case("false") {
        Some(Advice::Stop)
    } else {
        None
    }
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(fields.get(name)?.to_str().ok()?.trim())
}

/// Digits only: no sign, no blanks, no exponent.
fn whole(value: &str) -> Option<u64> {
    // `str::parse` alone would take a `+`.
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// Seconds with or without decimals, rounded up to the nanosecond.
fn seconds(value: &str) -> Option<Duration> {
    let (whole_part, decimals) = value.split_once('.').unwrap_or((value, "0"));
    let whole_seconds = whole(whole_part).filter(|seconds| *seconds <= LONGEST)?;
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digit = |at: usize| decimals.as_bytes().get(at).map_or(0, |byte| u64::from(byte - b'0'));
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + digit(at));
    let rest = decimals.bytes().skip(9).any(|byte| byte != b'0');
    Some(Duration::from_secs(whole_seconds) + Duration::from_nanos(nanos + u64::from(rest)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn after(value: &str) -> Option<Duration> {
        retry_after(&fields(&[("retry-after", value)]))
    }

    fn left(limit: &str, remaining: &str, reset: &str) -> Option<Allowance> {
        allowance(&fields(&[
            ("ratelimit-limit", limit),
            ("ratelimit-remaining", remaining),
            ("ratelimit-reset", reset),
        ]))
    }

    #[test]
    fn retry_after_in_seconds_is_understood_with_and_without_decimals() {
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after(" 2 "), Some(Duration::from_secs(2)));
        assert_eq!(after("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(after("1.0000000001"), Some(Duration::new(1, 1)), "never too early");
        assert_eq!(after("1.9999999999"), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_retry_after_without_sense_is_no_retry_after() {
        for nonsense in [
            "",
            "-1",
            "+1",
            "1e3",
            "NaN",
            "inf",
            "1.",
            ".5",
            "1.-5",
            "1.5.1",
            "1,5",
            "0x10",
            "2147483649",
            "99999999999999999999999",
            "soon",
        ] {
            assert_eq!(after(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn an_allowance_needs_all_three_fields_and_that_they_agree() {
        let expected = Allowance::new(10, 3, Duration::from_secs(7));
        assert_eq!(left("10", "3", "7"), Some(expected));
        assert_eq!(left("10", "11", "7"), None);
        assert_eq!(left("10", "-1", "7"), None);
        assert_eq!(left("18446744073709551616", "1", "7"), None);
        assert_eq!(left("10", "3", "tomorrow"), None);
        assert_eq!(allowance(&fields(&[("ratelimit-limit", "10")])), None);
    }

    #[test]
    fn only_a_clear_word_on_retrying_counts() {
        let said = |value| should_retry(&fields(&[("should-retry", value)]));
        assert_eq!(said("true"), Some(Advice::Retry));
        assert_eq!(said("False"), Some(Advice::Stop));
        assert_eq!(said("1"), None);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_parser_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut fields = HeaderMap::new();
            for name in [header::RETRY_AFTER, LIMIT, REMAINING, RESET, SHOULD_RETRY] {
                fields.insert(name, value.clone());
            }
            let longest = Duration::from_secs(LONGEST + 1);
            prop_assert!(retry_after(&fields).is_none_or(|after| after <= longest));
            prop_assert!(allowance(&fields).is_none_or(|allowance| allowance.reset <= longest));
            let _ = should_retry(&fields);
        }

        #[test]
        fn what_looks_like_seconds_is_read_as_such(value in "[0-9]{0,25}\\.?[0-9]{0,25}") {
            if let Some(after) = after(&value) {
                let expected: f64 = value.parse().unwrap();
                prop_assert!((after.as_secs_f64() - expected).abs() <= 1e-6);
            }
        }
    }
}
