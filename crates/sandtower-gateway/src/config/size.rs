use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, as a text such as `"64KiB"` or `"4MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        number.parse::<usize>().ok()?.checked_mul(*each).map(Self)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = |(_, each): &&(&str, usize)| self.0.is_multiple_of(*each);
        let (unit, each) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / each)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let expected = &"a size such as \"64KiB\" or \"4MiB\"";
        Self::parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), expected))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_it_is_written() {
        for (text, size) in [("64KiB", 65_536), ("4MiB", 4 << 20), ("1B", 1), ("3GiB", 3 << 30)] {
            assert_eq!(Size::parse(text), Some(Size(size)));
            assert_eq!(Size(size).to_string(), text);
        }
        for bad in ["", "4", "4MB", "-1B", "1.5MiB", "99999999999999999999B"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }
}
