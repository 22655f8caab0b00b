use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sandtower_core::Verdict;
use sandtower_http::{headers, verdict_of_grpc, verdict_of_status};

/// Reads lines `name: value`, as they come from a peer, by all parsers.
pub(crate) fn header_fields(data: &[u8]) {
    let fields = fields(data);
    let longest = Duration::from_secs((1 << 31) + 1);

    assert!(headers::retry_after(&fields).is_none_or(|after| after <= longest));
    if let Some(allowance) = headers::allowance(&fields) {
        assert!(allowance.remaining <= allowance.limit);
        assert!(allowance.reset <= longest);
    }
    let _ = headers::should_retry(&fields);

    for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY] {
        is_sane(verdict_of_status(status, &fields), longest);
    }
    if let Some(verdict) = verdict_of_grpc(&fields) {
        is_sane(verdict, longest);
    }
}

fn fields(data: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value[1..].trim_ascii())) {
            fields.append(name, value);
        }
    }
    fields
}

fn is_sane(verdict: Verdict, longest: Duration) {
    assert!(verdict.retry_after.is_none_or(|after| after <= longest));
    assert!(!verdict.is_success() || verdict.retry_after.is_none() && verdict.advice.is_none());
}
