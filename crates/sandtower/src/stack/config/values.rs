use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected};

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

#[cfg(test)]
mod tests {
    use super::*;

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
