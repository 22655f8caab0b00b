use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};

use super::{
    number::{LONGEST, seconds, whole},
    text,
};

/// From here on a number of seconds can only be a timestamp: as a delay it would be 31 years.
const EPOCH: u64 = 1_000_000_000;
/// The same in milliseconds, which some servers send.
const EPOCH_MILLIS: u64 = EPOCH * 1_000;
/// From here on a number is neither.
const NONSENSE: u64 = EPOCH_MILLIS * 1_000;

/// The time until an HTTP-date, by the clock of the sender.
///
/// Measured from the `Date` of the same response, which cancels the skew between the two clocks. Without
/// a `Date` the result is unknown: our own clock may be hours off, and a response would mean something
/// else on each machine. A date in the past is zero.
pub(super) fn until_date(fields: &HeaderMap, value: &str) -> Option<Duration> {
    until(fields, httpdate::parse_http_date(value).ok()?)
}

/// The time until a rate limit resets: seconds, or a UNIX timestamp (in seconds or milliseconds) where
/// the number can only be one.
pub(super) fn until_reset(fields: &HeaderMap, value: &str) -> Option<Duration> {
    let number = whole(value.split('.').next()?)?;
    match number {
        ..EPOCH => seconds(value),
        EPOCH..EPOCH_MILLIS => until(fields, UNIX_EPOCH + Duration::from_secs(number)),
        EPOCH_MILLIS..NONSENSE => until(fields, UNIX_EPOCH + Duration::from_millis(number)),
        _ => None,
    }
}

fn until(fields: &HeaderMap, then: SystemTime) -> Option<Duration> {
    let sent = httpdate::parse_http_date(text(fields, &header::DATE)?).ok()?;
    let wait = then.duration_since(sent).unwrap_or(Duration::ZERO);
    (wait <= Duration::from_secs(LONGEST)).then_some(wait)
}
