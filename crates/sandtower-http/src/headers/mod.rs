//! The headers by which servers report rate limits and when to retry.
//!
//! An invalid value counts as absent: whatever a peer sends, it cannot make a client panic or wait
//! forever. No wall clock is read: dates are relative to the `Date` of the same response.
//!
//! | function | headers, the first valid one applies | source |
//! |---|---|---|
//! | [`retry_after`] | `retry-after-ms`; `Retry-After` | the first is Azure's and more precise; RFC 9110 section 10.2.3 |
//! | [`allowance`] | `RateLimit` with `RateLimit-Policy`; `RateLimit` alone; `RateLimit-Limit`, `-Remaining`, `-Reset`; `X-RateLimit-Limit`, `-Remaining`, `-Reset-After` or `-Reset` | draft-ietf-httpapi-ratelimit-headers from 08 to 11; its draft 07; its drafts up to 06; their predecessors |
//! | [`should_retry`] | `Should-Retry`; `X-Should-Retry` | the second is an older name in some SDKs |
//!
//! By the draft, `Retry-After` takes precedence over the reset of a limit; so only `Retry-After` is obeyed,
//! and an [`Allowance`] is information to learn from.

mod date;
mod number;
mod policy;

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use sandtower_core::{Advice, Allowance};

use self::date::{until_date, until_reset};
use self::number::{millis, seconds, whole};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RESET_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-reset-after");

/// The names of the limit, the remaining quota and the reset.
const TRIPLES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("ratelimit-limit"),
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("ratelimit-reset"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit"),
        HeaderName::from_static("x-ratelimit-remaining"),
        HeaderName::from_static("x-ratelimit-reset"),
    ],
];

/// How long the server asks clients to wait, from `retry-after-ms` or `Retry-After`.
///
/// Numbers may have decimals, which some servers send. A date is relative to the `Date` of the same
/// response, and is ignored without one. Servers round down, so wait up to a second longer than this.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue, header::{DATE, RETRY_AFTER}};
/// use sandtower_http::headers::retry_after;
///
/// let mut fields = HeaderMap::new();
/// fields.insert(RETRY_AFTER, HeaderValue::from_static("1.5"));
/// assert_eq!(retry_after(&fields), Some(Duration::from_millis(1_500)));
/// fields.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:57 GMT"));
/// assert_eq!(retry_after(&fields), None);
/// fields.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
/// assert_eq!(retry_after(&fields), Some(Duration::from_secs(20)));
/// ```
pub fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    text(fields, &RETRY_AFTER_MS).and_then(millis).or_else(|| {
        let value = text(fields, &header::RETRY_AFTER)?;
        seconds(value).or_else(|| until_date(fields, value))
    })
}

/// The rate limit that the server reports: see the [table](self).
///
/// `None` unless limit, remaining quota and reset are all present and consistent: more remaining than
/// the limit is invalid. A `RateLimit-Policy` with a window stands in for a missing reset. Of several
/// limits the tightest counts. A reset that can only be a UNIX timestamp is read as one. A cached
/// response (with an `Age` above 0) is about another time: `None`.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue};
/// use sandtower_core::Allowance;
/// use sandtower_http::headers::allowance;
///
/// let mut fields = HeaderMap::new();
/// fields.insert("ratelimit-policy", HeaderValue::from_static(r#""burst";q=100;w=60"#));
/// fields.insert("ratelimit", HeaderValue::from_static(r#""burst";r=50;t=30"#));
/// assert_eq!(allowance(&fields), Some(Allowance::new(100, 50, Duration::from_secs(30))));
/// ```
pub fn allowance(fields: &HeaderMap) -> Option<Allowance> {
    let allowance = policy::allowance(fields)
        .or_else(|| TRIPLES.iter().find_map(|names| three_fields(fields, names)))?;
    (!is_cached(fields)).then_some(allowance)
}

fn three_fields(
    fields: &HeaderMap,
    [limit, remaining, reset]: &[HeaderName; 3],
) -> Option<Allowance> {
    let limit = leading_number(text(fields, limit)?)?;
    let remaining = whole(text(fields, remaining)?)?;
    let reset = match text(fields, &RESET_AFTER).and_then(seconds) {
        Some(after) => after,
        None => until_reset(fields, text(fields, reset)?)?,
    };
    (remaining <= limit).then(|| Allowance::new(limit, remaining, reset))
}

/// Drafts allow policies after the limit: `10, 10;w=1, 50;w=60`.
fn leading_number(value: &str) -> Option<u64> {
    whole(value.split([',', ';']).next()?.trim_ascii())
}

fn is_cached(fields: &HeaderMap) -> bool {
    text(fields, &header::AGE).and_then(whole).is_some_and(|age| age > 0)
}

/// Whether the server wants a retry, from `Should-Retry: true` or `false`.
pub fn should_retry(fields: &HeaderMap) -> Option<Advice> {
    [SHOULD_RETRY, X_SHOULD_RETRY].iter().find_map(|name| {
        let value = text(fields, name)?;
        if value.eq_ignore_ascii_case("true") {
            Some(Advice::Retry)
        } else if value.eq_ignore_ascii_case("false") {
            Some(Advice::Stop)
        } else {
            None
        }
    })
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(fields.get(name)?.to_str().ok()?.trim_ascii())
}

#[cfg(test)]
mod tests;
