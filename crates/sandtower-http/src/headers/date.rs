use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};

use super::{
    number::{LONGEST, seconds, whole},
    text,
};

/// From here on a number of seconds can only be an instant: as a wait it would be 31 years.
const EPOCH: u64 = 1_000_000_000;
/// The same in milliseconds, which some servers send.
const EPOCH_MILLIS: u64 = EPOCH * 1_000;
/// From here on a number is neither.
const NONSENSE: u64 = EPOCH_MILLIS * 1_000;

/// The time until an HTTP-date, by the clock of who sent it.
///
/// It is measured from the `Date` of the same response, so that the skew between two clocks falls
/// out. Without a `Date` nothing is known: our own clock may be hours off, and reading it would let
/// a response mean something else on each machine. What is past is now.
pub(super) fn until_date(fields: &HeaderMap, value: &str) -> Option<Duration> {
    until(fields, httpdate::parse_http_date(value).ok()?)
}

/// The time until a rate limit is reset: seconds, or an instant of the UNIX epoch (in seconds or
/// milliseconds) where the number can only be one.
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
