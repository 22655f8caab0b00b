use http::{HeaderMap, StatusCode};
use sandtower_core::{Effect, Outcome, Verdict};

use crate::headers;

/// The verdict on a response by its status and headers alone.
///
/// | status | verdict | why |
/// |---|---|---|
/// | 1xx, 2xx, 3xx | success | the service did its work; following a redirect is up to the caller |
/// | 408 | transient, effect maybe | in RFC 9110 the request never arrived completely, but servers send it for slow handlers too |
/// | 421, 425 | transient, effect none | RFC 9110 section 15.5.20, RFC 8470 section 5.2: not processed, and may be sent again |
/// | 429 | throttled | RFC 6585 section 4 |
/// | 403, 413, 420, 430, with `Retry-After` | throttled | limits with other statuses: GitHub's secondary limits, RFC 9110 section 15.5.14, and non-standard ones |
/// | other 4xx | permanent | the service is up and rejected the request |
/// | 500 | unknown, effect maybe | a bug or a transient failure |
/// | 501, 505, 506, 507, 508, 510, 511 | permanent | what the server cannot do now it cannot do a second later either |
/// | 502, 503, 504 | transient, effect maybe | proxies also send them when the upstream connection broke after the request was sent |
/// | anything else | unknown, effect maybe | |
///
/// The [`headers`] are added if present; to a success only the allowance. `retry_after` comes only from a
/// header that asks for it: the reset of a limit is when the whole quota is available again, which is
/// later than necessary, and is left to the gate that learns from it.
pub fn verdict_of_status(status: StatusCode, fields: &HeaderMap) -> Verdict {
    let mut verdict = add_fields(by_status(status), fields);
    if matches!(status.as_u16(), 403 | 413 | 420 | 430) && verdict.retry_after.is_some() {
        verdict.outcome = Outcome::Throttled;
    }
    verdict
}

/// `verdict` with the data of the headers.
pub(crate) fn add_fields(mut verdict: Verdict, fields: &HeaderMap) -> Verdict {
    verdict.allowance = headers::allowance(fields);
    if verdict.is_success() {
        return verdict;
    }
    verdict.retry_after = headers::retry_after(fields);
    verdict.advice = headers::should_retry(fields).or(verdict.advice);
    verdict
}

pub(crate) fn by_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        100..=399 => Verdict::success(),
        408 => Verdict::transient(Effect::Maybe),
        421 | 425 => Verdict::transient(Effect::None),
        429 => Verdict::throttled(),
        400..=499 => Verdict::permanent(),
        501 | 505..=508 | 510 | 511 => Verdict::permanent(),
        // A 503 guarantees nothing either: envoy sends it for a connection that was reset.
        502..=504 => Verdict::transient(Effect::Maybe),
        _ => Verdict::unknown(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use sandtower_core::{Advice, Allowance};

    use super::*;

    fn bare(status: u16) -> Verdict {
        verdict_of_status(StatusCode::from_u16(status).unwrap(), &HeaderMap::new())
    }

    #[test]
    fn each_status_has_its_verdict() {
        for (statuses, verdict) in [
            (&[100, 200, 201, 204, 206, 301, 304, 399][..], Verdict::success()),
            (&[408, 502, 503, 504], Verdict::transient(Effect::Maybe)),
            (&[421, 425], Verdict::transient(Effect::None)),
            (&[429], Verdict::throttled()),
            (&[400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499], Verdict::permanent()),
            (&[501, 505, 506, 507, 508, 510, 511], Verdict::permanent()),
            (&[500, 509, 520, 522, 599, 600, 999], Verdict::unknown()),
        ] {
            for status in statuses {
                assert_eq!(bare(*status), verdict, "{status}");
            }
        }
    }

    #[test]
    fn no_server_error_is_without_effect() {
        for status in 500..=599 {
            let verdict = bare(status);
            let replayed = verdict.effect == Effect::None && verdict.outcome != Outcome::Permanent;
            assert!(!replayed, "{status}: {verdict:?}");
        }
    }

    #[test]
    fn headers_are_added_to_the_verdict() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("retry-after", "2"),
            ("should-retry", "false"),
            ("ratelimit-limit", "5"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "4"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        let allowance = Allowance::new(5, 0, Duration::from_secs(4));
        assert_eq!(
            verdict_of_status(StatusCode::TOO_MANY_REQUESTS, &fields),
            Verdict::throttled()
                .retry_after(Duration::from_secs(2))
                .advice(Advice::Stop)
                .allowance(allowance),
        );
        assert_eq!(
            verdict_of_status(StatusCode::CREATED, &fields),
            Verdict::success().allowance(allowance),
        );
    }

    #[test]
    fn a_limit_with_another_status_is_throttled_if_it_has_a_retry_after() {
        let mut fields = HeaderMap::new();
        fields.insert("retry-after", HeaderValue::from_static("30"));
        let thirty = Duration::from_secs(30);
        for status in [403, 413, 420, 430, 429] {
            let status = StatusCode::from_u16(status).unwrap();
            let verdict = verdict_of_status(status, &fields);
            assert_eq!(verdict, Verdict::throttled().retry_after(thirty), "{status}");
        }
        for status in [400, 401, 404, 409, 410, 422] {
            let verdict = verdict_of_status(StatusCode::from_u16(status).unwrap(), &fields);
            assert_eq!(verdict, Verdict::permanent().retry_after(thirty), "{status}");
        }
        for status in [403, 413, 420, 430] {
            assert_eq!(bare(status), Verdict::permanent(), "{status}");
        }
    }

    #[test]
    fn a_reset_is_not_a_retry_after() {
        let mut fields = HeaderMap::new();
        fields.insert("ratelimit", HeaderValue::from_static("\"a\";r=0;t=30"));
        fields.insert("ratelimit-policy", HeaderValue::from_static("\"a\";q=9"));
        let verdict = verdict_of_status(StatusCode::TOO_MANY_REQUESTS, &fields);
        let allowance = Allowance::new(9, 0, Duration::from_secs(30));
        assert_eq!(verdict, Verdict::throttled().allowance(allowance));
    }
}
