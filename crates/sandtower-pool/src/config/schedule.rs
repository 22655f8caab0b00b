use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::wall::Wall;

/// Sandboxes that are kept warm on some days between two times of day, in UTC, on top of what demand calls
/// for.
///
/// ```
/// use sandtower_pool::ScheduleRow;
///
/// let office_hours = ScheduleRow::new("mon-fri", "08:00", "18:00", 4);
/// # let _ = office_hours;
/// ```
///
/// In a file: `schedule = [{ days = "mon-fri", from = "08:00", to = "18:00", warm = 4 }]`. If `to` is not
/// after `from`, the row lasts into the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRow {
    days: String,
    from: String,
    to: String,
    warm: u32,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 86_400;

impl ScheduleRow {
    /// `warm` sandboxes on `days`, such as `mon-fri`, `sat,sun` or `*`, from `from` until `to`, such as
    /// `08:00`.
    pub fn new(
        days: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        warm: u32,
    ) -> Self {
        Self { days: days.into(), from: from.into(), to: to.into(), warm }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        days(&self.days)?;
        time(&self.from)?;
        time(&self.to).map(drop)
    }

    /// How many sandboxes this row keeps warm at `wall`.
    pub(crate) fn warm_at(&self, wall: Wall) -> u32 {
        let (Ok(days), Ok(from), Ok(to)) = (days(&self.days), time(&self.from), time(&self.to))
        else {
            return 0;
        };
        let second = wall.second_of_week();
        let (today, now) = (second / DAY, second % DAY);
        let is_on = |day: u32| days[(day % 7) as usize];
        let lasts = if from < to {
            is_on(today) && (from..to).contains(&now)
        } else {
            (is_on(today) && now >= from) || (is_on(today + 6) && now < to)
        };
        if lasts { self.warm } else { 0 }
    }
}

fn days(text: &str) -> Result<[bool; 7], ConfigError> {
    let mut all = [text == "*"; 7];
    if text == "*" {
        return Ok(all);
    }
    let wrong = |part: &str| {
        ConfigError::Schedule(format!(
            "{part:?} is no day; it must be `*`, or days such as `mon`, `mon-fri` or `sat,sun`"
        ))
    };
    let day =
        |name: &str| DAYS.iter().position(|day| *day == name.trim()).ok_or_else(|| wrong(name));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        for offset in 0..=length {
            all[(first + offset) % 7] = true;
        }
    }
    Ok(all)
}

/// The second of the day.
fn time(text: &str) -> Result<u32, ConfigError> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
        let is_valid = (hour < 24 && minute < 60) || (hour == 24 && minute == 0);
        is_valid.then_some(hour * 3_600 + minute * 60)
    });
    parsed.ok_or_else(|| {
        ConfigError::Schedule(format!("{text:?} is no time of day; it must be one such as `08:30`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(date: &str) -> Wall {
        Wall::parse(&format!("{date}:00Z")).unwrap()
    }

    #[test]
    fn a_row_lasts_from_time_to_time_on_its_days() {
        let row = ScheduleRow::new("mon-fri", "08:00", "18:00", 4);
        // 2026-11-23 is a Monday.
        for (date, warm) in [
            ("2026-11-23T07:59", 0),
            ("2026-11-23T08:00", 4),
            ("2026-11-27T17:59", 4),
            ("2026-11-27T18:00", 0),
            ("2026-11-28T12:00", 0),
        ] {
            assert_eq!(row.warm_at(at(date)), warm, "{date}");
        }
    }

    #[test]
    fn a_row_may_last_over_midnight_and_days_over_the_end_of_the_week() {
        let row = ScheduleRow::new("sun", "22:00", "06:00", 2);
        assert_eq!(row.warm_at(at("2026-11-22T23:00")), 2);
        assert_eq!(row.warm_at(at("2026-11-23T05:59")), 2);
        assert_eq!(row.warm_at(at("2026-11-23T06:00")), 0);
        assert_eq!(row.warm_at(at("2026-11-22T05:00")), 0);
        assert_eq!(
            ScheduleRow::new("sat-mon", "00:00", "24:00", 1).warm_at(at("2026-11-23T12:00")),
            1
        );
        assert_eq!(ScheduleRow::new("*", "00:00", "24:00", 1).warm_at(at("2026-11-25T12:00")), 1);
    }

    #[test]
    fn invalid_rows_say_what_would_be_valid() {
        assert!(ScheduleRow::new("*", "8", "18:00", 1).check().is_err());
        assert!(ScheduleRow::new("*", "08:00", "24:01", 1).check().is_err());
        assert!(ScheduleRow::new("any", "08:00", "18:00", 1).check().is_err());
    }
}
