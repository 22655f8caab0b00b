//! How configurations are written in files: what their `serde` attributes share.

use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const EXPECTED: &str = "a time such as \"250ms\", \"30s\", \"2m\" or \"1h\", or \"none\"";

/// From the largest to the smallest, in nanoseconds; the first that fits is written.
const UNITS: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A duration as a text: a whole number and its unit, `h`, `m`, `s`, `ms`, `us` or `ns`. `"none"` is
/// [`Duration::MAX`]: what never comes, or has no limit. Any duration that is written is read again as
/// it was.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::settings::Time;
///
/// assert_eq!(Time::parse("250ms"), Some(Time(Duration::from_millis(250))));
/// assert_eq!(Time(Duration::from_secs(120)).to_string(), "2m");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl Time {
    /// The time that `text` means; `None` if it means none.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self(Duration::MAX));
        }
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let nanos = number.parse::<u128>().ok()?.checked_mul(*each)?;
        let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
        Some(Self(Duration::new(seconds, (nanos % 1_000_000_000) as u32)))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.0.as_nanos();
        match UNITS.iter().find(|(_, each)| nanos.is_multiple_of(*each)) {
            _ if self.0 == Duration::MAX => f.write_str("none"),
            Some((unit, each)) if nanos > 0 => write!(f, "{}{unit}", nanos / each),
            _ => f.write_str("0s"),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED);
        Self::parse(&text).ok_or_else(wrong)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A [`Duration`] as a [`Time`]: `#[serde(with = "sandtower_core::settings::duration")]`.
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Time};

    /// Reads a [`Time`].
    ///
    /// # Errors
    ///
    /// It is no time: the error says what would be one.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Time::deserialize(from).map(|Time(time)| time)
    }

    /// Writes a [`Time`].
    ///
    /// # Errors
    ///
    /// Those of the format.
    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        Time(*time).serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_written_in_the_largest_unit_that_fits() {
        for (time, written) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(1), "1ns"),
            (Duration::from_micros(1_500), "1500us"),
            (Duration::from_millis(1_500), "1500ms"),
            (Duration::from_secs(30), "30s"),
            (Duration::from_secs(60), "1m"),
            (Duration::from_secs(90), "90s"),
            (Duration::from_secs(7_200), "2h"),
            (Duration::MAX, "none"),
        ] {
            assert_eq!(Time(time).to_string(), written);
        }
    }

    #[test]
    fn a_time_is_a_whole_number_and_a_unit() {
        for (text, time) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("2m", Some(Duration::from_secs(120))),
            ("2 min", Some(Duration::from_secs(120))),
            ("18446744073709551615s", Some(Duration::from_secs(u64::MAX))),
            ("none", Some(Duration::MAX)),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("", None),
            ("99999999999999999999s", None),
            ("999999999999999999999999999999999999999h", None),
        ] {
            assert_eq!(Time::parse(text), time.map(Time), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_as_it_was(
            seconds in prop_oneof![any::<u64>(), 0..100_000_u64],
            nanos in prop_oneof![Just(0), 0..1_000_000_000_u32, (0..1_000_u32).prop_map(|ms| ms * 1_000_000)],
        ) {
            let time = Time(Duration::new(seconds, nanos));
            prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
        }
    }
}
