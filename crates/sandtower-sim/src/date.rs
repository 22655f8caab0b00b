//! Dates as the control plane writes them.

use std::time::{Duration, SystemTime};

/// The date in UTC to the millisecond, as `2026-01-01T00:00:00.000Z`; dates before 1970 are 1970.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (year, month, day) = civil(since.as_secs() / 86_400);
    let of_day = since.as_secs() % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let milli = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A date in the form of RFC 3339, with any offset; dates before 1970 are none.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = time.split_at(at);
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let seconds = time_of_day(time)?;
    let valid = (1970..=9_999).contains(&year) && (1..=12).contains(&month);
    if !valid || !(1..=31).contains(&day) || seconds >= 86_401.0 {
        return None;
    }
    // The inverse of `civil`: years begin in March, so that their leap day is last.
    let year = year - u64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    let local = Duration::from_secs(days * 86_400)
        .checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    let (behind, offset) = match offset.split_at_checked(1)? {
        ("+", offset) => (false, time_of_day(offset)?),
        ("-", offset) => (true, time_of_day(offset)?),
        (_, "") => (false, 0.0),
        _ => return None,
    };
    let offset = Duration::try_from_secs_f64(offset).ok()?;
    let since = if behind { local.checked_add(offset) } else { local.checked_sub(offset) };
    SystemTime::UNIX_EPOCH.checked_add(since?)
}

/// The seconds in `hh:mm`, perhaps with seconds and their fractions.
fn time_of_day(text: &str) -> Option<f64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next().map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    let valid = hours < 24 && minutes < 60 && (0.0..61.0).contains(&seconds);
    valid.then(|| f64::from(hours * 3600 + minutes * 60) + seconds)
}

/// Year, month and day of the `days`th day after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March have their leap day last; 400 of them are always 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_offsets_are_understood() {
        for millis in [0, 951_782_400_000, 1_767_225_600_001, 1_795_319_659_250, 4_107_542_400_000]
        {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(rfc3339(parse(&rfc3339(at)).unwrap()), rfc3339(at));
        }
        let at = |text| rfc3339(parse(text).unwrap());
        assert_eq!(at("2026-01-01T01:30:00.5+01:30"), "2026-01-01T00:00:00.500Z");
        assert_eq!(at("2025-12-31T19:00:00-05:00"), "2026-01-01T00:00:00.000Z");
        for bad in ["", "2026", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn known_dates() {
        let at = |millis| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_767_225_600_001), "2026-01-01T00:00:00.001Z");
        assert_eq!(at(1_795_319_659_250), "2026-11-22T03:54:19.250Z");
        assert_eq!(at(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
