//! Wall time, for schedules and for dates of the service: hours of the week and RFC 3339.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const HOURS_OF_WEEK: usize = 168;
const DAY: i64 = 86_400;

/// Seconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub i64);

impl Wall {
    /// The present, by the system's clock: it may jump.
    pub fn now() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "schedules and the service's dates are wall time"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
    }

    /// The second of the week, from Monday 00:00 UTC.
    pub(crate) fn second_of_week(self) -> u32 {
        // The first of January 1970 was a Thursday.
        (self.0.saturating_add(3 * DAY)).rem_euclid(7 * DAY) as u32
    }

    /// The hour of the week, from Monday 00:00 UTC.
    pub(crate) fn hour_of_week(self) -> usize {
        self.second_of_week() as usize / 3_600
    }

    /// Reads a date such as `2026-11-22T04:01:37.5Z`; `None`: it is no such date.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let separators = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':')];
        if !separators.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(&(*mark as u8))) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let seconds = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
        let rest = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let offset = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = if rest.starts_with('-') { -1 } else { 1 };
                let hours = rest.get(1..3)?.parse::<i64>().ok()?;
                let minutes = rest.get(4..6)?.parse::<i64>().ok()?;
                sign * (hours * 3_600 + minutes * 60)
            }
        };
        Some(Self(days(year, month, day)? * DAY + seconds - offset))
    }
}

/// Days since 1970 of a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(Wall::parse("1970-01-01T00:00:00Z"), Some(Wall(0)));
        assert_eq!(Wall::parse("2026-01-01T00:00:00Z"), Some(Wall(1_767_225_600)));
        assert_eq!(Wall::parse("2026-01-01T01:00:00.25+01:00"), Some(Wall(1_767_225_600)));
        assert_eq!(Wall::parse("2024-02-29T12:00:00Z"), Some(Wall(1_709_208_000)));
        for text in
            ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00"]
        {
            assert_eq!(Wall::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 is a Monday.
        let monday = Wall::parse("2026-11-23T00:00:00Z").unwrap();
        assert_eq!(monday.hour_of_week(), 0);
        assert_eq!(Wall(monday.0 - 1).hour_of_week(), 167);
        assert_eq!(Wall(monday.0 + 34 * 3_600).hour_of_week(), 34);
    }
}
