use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::core::Operation;
use crate::e2b::operation as op;

const TIMES: &str = "a time such as \"250ms\", \"30s\", \"2m\" or \"1h\"";

/// A time, as a text of a whole number and its unit: `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || D::Error::invalid_value(Unexpected::Str(&text), &TIMES);
        time(&text).map(Self).ok_or_else(wrong)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match text(self.0) {
            Some(text) => to.serialize_str(&text),
            None => Err(S::Error::custom(format!(
                "{:?} is no whole number of milliseconds, and cannot be written",
                self.0
            ))),
        }
    }
}

/// A [`Time`], or `"none"`: endless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "none" {
            return Ok(Self(None));
        }
        let wanted = format!("{TIMES}, or \"none\"");
        let wrong = || D::Error::invalid_value(Unexpected::Str(&text), &wanted.as_str());
        match time(&text).filter(|time| !time.is_zero()) {
            Some(time) => Ok(Self(Some(time))),
            None => Err(wrong()),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(limit) => Time(limit).serialize(to),
            None => to.serialize_str("none"),
        }
    }
}

/// In the largest unit that it is a whole number of.
fn text(time: Duration) -> Option<String> {
    let seconds = time.as_secs();
    Some(match time.subsec_nanos() {
        0 if seconds == 0 => String::from("0s"),
        0 if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        0 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        0 => format!("{seconds}s"),
        nanos if nanos.is_multiple_of(1_000_000) => {
            format!("{}ms", u64::try_from(time.as_millis()).ok()?)
        }
        _ => return None,
    })
}

fn time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3_600),
        _ => None,
    }
}

/// An operation of E2B, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationName(pub Operation);

impl PartialOrd for OperationName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OperationName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.index().cmp(&other.0.index())
    }
}

impl<'de> Deserialize<'de> for OperationName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        match op::ALL.iter().find(|operation| operation.name() == name) {
            Some(operation) => Ok(Self(*operation)),
            None => {
                let names: Vec<_> = op::ALL.iter().map(|operation| operation.name()).collect();
                let why = format!("no operation `{name}`; there are {}", names.join(", "));
                Err(D::Error::custom(why))
            }
        }
    }
}

impl Serialize for OperationName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_the_largest_unit_that_fits_and_read_again_it_is_the_same() {
        for (millis, written) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (60_000, "1m"),
            (90_000, "90s"),
            (7_200_000, "2h"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(text(duration).as_deref(), Some(written));
            assert_eq!(time(written), Some(duration));
        }
        for whole in (0..10_000_000).step_by(37).map(Duration::from_millis) {
            assert_eq!(time(&text(whole).unwrap()), Some(whole), "{whole:?}");
        }
        for cannot in [Duration::from_micros(1_500), Duration::MAX] {
            assert_eq!(text(cannot), None);
        }
    }

    #[test]
    fn a_time_is_a_whole_number_and_a_unit() {
        let times = [
            ("250ms", Some(Duration::from_millis(250))),
            ("30s", Some(Duration::from_secs(30))),
            ("2m", Some(Duration::from_secs(120))),
            ("2 min", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3_600))),
            ("0s", Some(Duration::ZERO)),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, meant) in times {
            assert_eq!(time(text), meant, "{text}");
        }
    }
}
