use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// 784,111,777 seconds after the UNIX epoch.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn fields(of: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in of {
        fields.append(*name, value.parse().unwrap());
    }
    fields
}

fn after(value: &str) -> Option<Duration> {
    retry_after(&fields(&[("retry-after", value)]))
}

fn after_at(value: &str, date: &str) -> Option<Duration> {
    retry_after(&fields(&[("retry-after", value), ("date", date)]))
}

#[test]
fn retry_after_in_seconds_may_have_decimals() {
    assert_eq!(after("0"), Some(Duration::ZERO));
    assert_eq!(after("120"), Some(120 * SECOND));
    assert_eq!(after(" 2 "), Some(2 * SECOND));
    assert_eq!(after("0.25"), Some(Duration::from_millis(250)));
    assert_eq!(after("1.0000000001"), Some(Duration::new(1, 1)), "rounded up");
    assert_eq!(after("1.9999999999"), Some(2 * SECOND));
}

/// Ignoring a date, reading it by our own clock, or taking a year from it are known bugs of other
/// clients.
#[test]
fn a_retry_after_of_any_form_is_read_and_bounded() {
    for (value, expected) in [
        ("7", Some(7 * SECOND)),
        ("7.5", Some(Duration::from_millis(7_500))),
        ("Sun, 06 Nov 1994 08:49:44 GMT", Some(7 * SECOND)),
        ("Sunday, 06-Nov-94 08:49:44 GMT", Some(7 * SECOND)),
        ("Sun Nov  6 08:49:44 1994", Some(7 * SECOND)),
        ("2147483648", Some(Duration::from_secs(1 << 31))),
        ("2147483649", None),
        ("99999999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    ] {
        assert_eq!(after_at(value, DATE), expected, "{value}");
    }
}

#[test]
fn a_date_is_relative_to_the_date_of_the_response() {
    let year_later = "Mon, 06 Nov 1995 08:49:37 GMT";
    assert_eq!(after_at(year_later, "Mon, 06 Nov 1995 08:49:27 GMT"), Some(10 * SECOND));
    assert_eq!(after_at(DATE, year_later), Some(Duration::ZERO), "a past date is zero");
    assert_eq!(after(DATE), None, "a response without a `Date` has no delay");
    assert_eq!(after_at(DATE, "yesterday"), None);
}

#[test]
fn valid_milliseconds_take_precedence_over_seconds() {
    let both =
        |millis: &str| retry_after(&fields(&[("retry-after-ms", millis), ("retry-after", "9")]));
    assert_eq!(both("1500"), Some(Duration::from_millis(1_500)));
    assert_eq!(both("0.5"), Some(Duration::from_micros(500)));
    assert_eq!(both("-1"), Some(9 * SECOND));
    assert_eq!(both("2147483648001"), Some(9 * SECOND));
}

#[test]
fn an_invalid_retry_after_is_ignored() {
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
        "soon",
        "Sun, 31 Feb 1994 08:49:37 GMT",
    ] {
        assert_eq!(after_at(nonsense, DATE), None, "{nonsense:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

fn limits(policy: &str, limit: &str) -> Option<Allowance> {
    allowance(&fields(&[("ratelimit-policy", policy), ("ratelimit", limit)]))
}

fn allowed(limit: u64, remaining: u64, reset: u64) -> Option<Allowance> {
    Some(Allowance::new(limit, remaining, Duration::from_secs(reset)))
}

#[test]
fn the_latest_draft_is_parsed() {
    assert_eq!(limits(r#""default";q=100;w=60"#, r#""default";r=50;t=30"#), allowed(100, 50, 30));
    assert_eq!(
        limits("default;q=100;w=60", "default;r=50;t=30"),
        allowed(100, 50, 30),
        "tokens too"
    );
    assert_eq!(
        limits(r#""a";q=100;qu="requests""#, r#""a";r=0;t=3;pk=:AAAA:"#),
        allowed(100, 0, 3)
    );
    assert_eq!(
        limits(r#""a";q=9;w=60"#, r#""a";r=4"#),
        allowed(9, 4, 60),
        "a window is the longest reset"
    );
}

#[test]
fn of_several_limits_the_tightest_counts() {
    let policy = r#""second";q=5;w=1, "day";q=1000;w=86400"#;
    assert_eq!(limits(policy, r#""second";r=4;t=1, "day";r=2;t=900"#), allowed(1_000, 2, 900));
    assert_eq!(limits(policy, r#""second";r=0;t=1, "day";r=0;t=900"#), allowed(1_000, 0, 900));
    assert_eq!(limits(policy, r#""unheard-of";r=0;t=1, "second";r=3;t=1"#), allowed(5, 3, 1));
    let over_two_lines = fields(&[
        ("ratelimit", r#""day";r=2;t=900"#),
        ("ratelimit", r#""second";r=1;t=1"#),
        ("ratelimit-policy", policy),
    ]);
    assert_eq!(allowance(&over_two_lines), allowed(5, 1, 1));
}

#[test]
fn a_quota_of_something_other_than_requests_is_no_rate_limit() {
    let policy = r#""bytes";q=9;w=1;qu="content-bytes", "calls";q=5;w=1"#;
    assert_eq!(limits(policy, r#""bytes";r=0;t=1, "calls";r=2;t=1"#), allowed(5, 2, 1));
    assert_eq!(limits(r#""slots";q=9;qu="concurrent-requests""#, r#""slots";r=0;t=1"#), None);
}

#[test]
fn a_malformed_rate_limit_is_ignored_as_a_whole() {
    let policy = r#""a";q=10;w=60"#;
    for malformed in [
        "",
        "\"a",
        "\"a\";r=1;t=2,",
        "\"a\";r=1;t=2, 1.2.3",
        "\"a\";r=-1;t=2",
        "\"a\";r=1.5;t=2",
        "\"a\";r=11;t=2",
        "\"a\";r=1;t=99999999999",
        "(\"a\");r=1;t=2",
        "1;r=1;t=2",
        "\"a\";t=2",
    ] {
        assert_eq!(limits(policy, malformed), None, "{malformed}");
    }
    assert_eq!(limits("\"a\";q=", "\"a\";r=1;t=2"), None);
    assert_eq!(limits("\"b\";q=10;w=60", "\"a\";r=1;t=2"), None, "the quota is unknown");
}

#[test]
fn an_older_form_applies_where_a_newer_one_is_invalid() {
    let seventh = |value| allowance(&fields(&[("ratelimit", value)]));
    assert_eq!(seventh("limit=100, remaining=50, reset=5"), allowed(100, 50, 5));
    assert_eq!(seventh("limit=100, remaining=50"), None);
    let all = fields(&[
        ("ratelimit", "garbage;;"),
        ("ratelimit-limit", "10"),
        ("ratelimit-remaining", "3"),
        ("ratelimit-reset", "7"),
        ("x-ratelimit-limit", "99"),
        ("x-ratelimit-remaining", "98"),
        ("x-ratelimit-reset", "97"),
    ]);
    assert_eq!(allowance(&all), allowed(10, 3, 7));
}

fn three(limit: &str, remaining: &str, reset: &str) -> Option<Allowance> {
    let with = |prefix: &'static [&'static str; 3], date: bool| {
        let mut fields = fields(&[(prefix[0], limit), (prefix[1], remaining), (prefix[2], reset)]);
        if date {
            fields.insert(header::DATE, HeaderValue::from_static(DATE));
        }
        allowance(&fields)
    };
    let plain = with(&["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"], true);
    let older = with(&["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"], true);
    assert_eq!(plain, older);
    plain
}

#[test]
fn the_three_headers_have_to_be_present_and_consistent() {
    assert_eq!(three("10", "3", "7"), allowed(10, 3, 7));
    assert_eq!(three("10, 10;w=1, 50;w=60", "3", "7"), allowed(10, 3, 7));
    assert_eq!(three("10;w=60", "3", "7"), allowed(10, 3, 7));
    assert_eq!(three("10", "11", "7"), None);
    assert_eq!(three("10", "-1", "7"), None);
    assert_eq!(three("18446744073709551616", "1", "7"), None);
    assert_eq!(three("10", "3", "tomorrow"), None);
    assert_eq!(allowance(&fields(&[("ratelimit-limit", "10")])), None);
}

#[test]
fn a_reset_that_can_only_be_a_timestamp_is_read_as_one() {
    assert_eq!(three("10", "3", "999999999"), allowed(10, 3, 999_999_999), "31 years, but seconds");
    // The `Date` of these responses is earlier: 1994.
    assert_eq!(three("10", "3", "1000000000"), allowed(10, 3, 1_000_000_000 - 784_111_777));
    assert_eq!(three("10", "3", "1000000000000"), allowed(10, 3, 1_000_000_000 - 784_111_777));
    assert_eq!(three("10", "3", "1000000000000000"), None);
    let reset_at = |date| {
        allowance(&fields(&[
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1700000030.123"),
            ("date", date),
        ]))
    };
    assert_eq!(reset_at("Tue, 14 Nov 2023 22:13:20 GMT"), allowed(60, 0, 30));
    assert_eq!(reset_at("Tue, 14 Nov 2023 22:14:20 GMT"), allowed(60, 0, 0));
    assert_eq!(reset_at("no date"), None);
}

#[test]
fn a_reset_in_seconds_takes_precedence_over_a_timestamp() {
    let allowed = allowance(&fields(&[
        ("x-ratelimit-limit", "5"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1470173023.123"),
        ("x-ratelimit-reset-after", "1.25"),
    ]));
    assert_eq!(allowed, Some(Allowance::new(5, 0, Duration::from_millis(1_250))));
}

#[test]
fn a_cached_response_has_no_allowance() {
    let aged = |age| {
        allowance(&fields(&[
            ("ratelimit-limit", "10"),
            ("ratelimit-remaining", "3"),
            ("ratelimit-reset", "7"),
            ("age", age),
        ]))
    };
    assert_eq!(aged("0"), allowed(10, 3, 7));
    assert_eq!(aged("1"), None);
}

#[test]
fn only_true_and_false_are_read() {
    let said = |value| should_retry(&fields(&[("should-retry", value)]));
    assert_eq!(said("true"), Some(Advice::Retry));
    assert_eq!(said("False"), Some(Advice::Stop));
    assert_eq!(said("1"), None);
    let both = fields(&[("should-retry", "maybe"), ("x-should-retry", "false")]);
    assert_eq!(should_retry(&both), Some(Advice::Stop));
}

/// Every field that is read.
const NAMES: [&str; 16] = [
    "retry-after",
    "retry-after-ms",
    "date",
    "age",
    "should-retry",
    "x-should-retry",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-unknown",
];

/// Values that parsers may stumble over.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        "[0-9.,;=\"a-z :+-]{0,40}".prop_map(String::into_bytes),
        "\"?[ab]\"?;r=[0-9]{1,20};t=[0-9]{1,20}(, b;r=0)?".prop_map(String::into_bytes),
        "\"?[ab]\"?;q=[0-9]{1,20}(;w=-?[0-9]{1,5})?".prop_map(String::into_bytes),
        "[0-9]{0,25}\\.?[0-9]{0,25}".prop_map(String::into_bytes),
        "(Mon|Sun), [0-3][0-9] (Feb|Nov) [0-9]{4} [0-2][0-9]:[0-6][0-9]:[0-6][0-9] GMT"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn no_header_makes_a_parser_panic_or_a_client_wait_forever(
        lines in proptest::collection::vec((0..NAMES.len(), value()), 0..12)
    ) {
        let mut fields = HeaderMap::new();
        for (name, value) in &lines {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                fields.append(NAMES[*name], value);
            }
        }
        let longest = Duration::from_secs((1 << 31) + 1);
        prop_assert!(retry_after(&fields).is_none_or(|after| after <= longest));
        if let Some(allowance) = allowance(&fields) {
            prop_assert!(allowance.reset <= longest);
            prop_assert!(allowance.remaining <= allowance.limit);
        }
        let _ = should_retry(&fields);
    }

    #[test]
    fn seconds_are_read_as_such(value in "[0-9]{0,25}\\.?[0-9]{0,25}") {
        if let Some(after) = after(&value) {
            let expected: f64 = value.parse().unwrap();
            prop_assert!((after.as_secs_f64() - expected).abs() <= 1e-6);
        }
    }

    #[test]
    fn a_date_means_the_same_on_every_clock(wait in 0..1_000_000_u64, skew in 0..4_000_000_000_u64) {
        let at = |seconds| httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
        prop_assert_eq!(after_at(&at(skew + wait), &at(skew)), Some(Duration::from_secs(wait)));
    }

    #[test]
    fn the_latest_draft_is_read_as_written(
        quota in 0..1_000_000_u64, used in 0..1_000_000_u64, reset in 0..100_000_u64, name in "[ -!#-\\[\\]-~]{0,10}"
    ) {
        let remaining = quota.saturating_sub(used);
        let policy = format!("\"{name}\";q={quota};w=60");
        let limit = format!("\"{name}\";r={remaining};t={reset}");
        prop_assert_eq!(limits(&policy, &limit), allowed(quota, remaining, reset));
    }
}
