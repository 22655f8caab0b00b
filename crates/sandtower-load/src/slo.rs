//! Objectives for a run: `success>=99%,p99<60s,leaked<=0`.

use std::fmt;
use std::str::FromStr;

use crate::data::Figures;
use crate::statistics::never;

/// Objectives, all of which have to be met.
///
/// ```
/// use sandtower_load::{Figures, Slo};
///
/// let slo: Slo = "success>=99%, p99<60s, leaked<=0".parse()?;
/// let p99_ms = Some(41_000.0);
/// let figures = Figures { calls: 100.0, succeeded: 98.0, p99_ms, ..Figures::default() };
/// let missed: Vec<_> = slo.missed(&figures).map(|missed| missed.to_string()).collect();
/// assert_eq!(missed, ["success is 98 %, not >= 99 %"]);
/// # Ok::<(), sandtower_load::InvalidSlo>(())
/// ```
#[derive(Clone, Debug)]
pub struct Slo(Vec<Objective>);

#[derive(Clone, Copy, Debug)]
struct Objective {
    figure: Figure,
    relation: Relation,
    /// In the unit of the figure.
    bound: f64,
}

/// The figures that objectives can be about.
#[derive(Clone, Copy, Debug)]
struct Figure {
    name: &'static str,
    unit: Unit,
    of: fn(&Figures) -> f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Percent,
    Milliseconds,
    Number,
}

const FIGURES: &[Figure] = &[
    Figure { name: "success", unit: Unit::Percent, of: |f| 100.0 * f.success() },
    Figure { name: "p50", unit: Unit::Milliseconds, of: |f| never(f.p50_ms) },
    Figure { name: "p90", unit: Unit::Milliseconds, of: |f| never(f.p90_ms) },
    Figure { name: "p99", unit: Unit::Milliseconds, of: |f| never(f.p99_ms) },
    Figure { name: "max", unit: Unit::Milliseconds, of: |f| never(f.max_ms) },
    Figure { name: "makespan", unit: Unit::Milliseconds, of: |f| f.makespan_ms },
    Figure { name: "recovery", unit: Unit::Milliseconds, of: |f| never(f.recovery_ms) },
    Figure { name: "amplification", unit: Unit::Number, of: |f| f.amplification },
    Figure { name: "goodput", unit: Unit::Number, of: |f| f.goodput_per_s },
    Figure { name: "failed", unit: Unit::Number, of: |f| f.failed },
    Figure { name: "rejected", unit: Unit::Number, of: |f| f.rejected },
    Figure { name: "dropped", unit: Unit::Number, of: |f| f.dropped },
    Figure { name: "leaked", unit: Unit::Number, of: |f| f.leaked_sandboxes },
    Figure { name: "zombies", unit: Unit::Number, of: |f| f.zombies_handed_out },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

/// Two-character operators first, since they begin with the others.
const RELATIONS: &[(&str, Relation)] = &[
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    (">", Relation::Above),
    ("<", Relation::Below),
    ("=", Relation::Equal),
];

/// An objective that was missed, with the actual value.
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    objective: Objective,
    was: f64,
}

/// The text is not an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}`: {problem}")]
pub struct InvalidSlo {
    part: String,
    problem: String,
}

impl Slo {
    /// The objectives that `figures` miss.
    pub fn missed(&self, figures: &Figures) -> impl Iterator<Item = Missed> {
        self.0.iter().filter_map(|&objective| {
            let was = (objective.figure.of)(figures);
            (!objective.holds(was)).then_some(Missed { objective, was })
        })
    }
}

impl FromStr for Slo {
    type Err = InvalidSlo;

    fn from_str(text: &str) -> Result<Self, InvalidSlo> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Objective {
    type Err = InvalidSlo;

    fn from_str(part: &str) -> Result<Self, InvalidSlo> {
        let wrong = |problem: String| InvalidSlo { part: part.to_owned(), problem };
        let at = part.find(['<', '>', '=']).ok_or_else(|| {
            wrong("it has no <, <=, >, >= or =; write for example success>=99%".to_owned())
        })?;
        let (name, rest) = part.split_at(at);
        let figure = FIGURES.iter().find(|figure| figure.name == name.trim()).ok_or_else(|| {
            let names: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
            let name = name.trim();
            wrong(format!("unknown figure `{name}`, expected one of {}", names.join(", ")))
        })?;
        let relation = RELATIONS.iter().find_map(|(sign, relation)| {
            rest.strip_prefix(sign).map(|bound| (*relation, bound.trim()))
        });
        let (relation, bound) =
            relation.ok_or_else(|| wrong("use <, <=, >, >= or =".to_owned()))?;
        let bound = figure
            .unit
            .parse(bound)
            .ok_or_else(|| wrong(format!("`{bound}` is not {}", figure.unit.expected())))?;
        Ok(Self { figure: *figure, relation, bound })
    }
}

impl Objective {
    fn holds(&self, was: f64) -> bool {
        match self.relation {
            Relation::AtLeast => was >= self.bound,
            Relation::AtMost => was <= self.bound,
            Relation::Above => was > self.bound,
            Relation::Below => was < self.bound,
            Relation::Equal => was == self.bound,
        }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Option<f64> {
        let (number, factor) = match self {
            Self::Percent => (text.strip_suffix('%')?, 1.0),
            Self::Number => (text, 1.0),
            Self::Milliseconds => {
                let units = [("ms", 1.0), ("s", 1e3), ("min", 60e3)];
                units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)))?
            }
        };
        let number: f64 = number.trim().parse().ok()?;
        let most = if self == Self::Percent { 100.0 } else { f64::MAX };
        (0.0..=most).contains(&number).then_some(number * factor)
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Percent => "a share such as 99%, 100% at most",
            Self::Milliseconds => "a time such as 250ms, 60s or 2min",
            Self::Number => "a number, 0 or more",
        }
    }

    fn write(self, value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (value * 100.0).round() / 100.0;
        match self {
            Self::Percent => write!(f, "{hundredths} %"),
            Self::Milliseconds if value.is_infinite() => f.write_str("never"),
            Self::Milliseconds if value >= 1e3 => write!(f, "{} s", (value / 10.0).round() / 100.0),
            Self::Milliseconds => write!(f, "{hundredths} ms"),
            Self::Number => write!(f, "{hundredths}"),
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Objective { figure, relation, bound } = self.objective;
        write!(f, "{} is ", figure.name)?;
        figure.unit.write(self.was, f)?;
        let sign = RELATIONS.iter().find(|(_, other)| *other == relation);
        write!(f, ", not {} ", sign.map_or("=", |(sign, _)| sign))?;
        figure.unit.write(bound, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(slo: &str, figures: &Figures) -> Vec<String> {
        let slo: Slo = slo.parse().unwrap();
        slo.missed(figures).map(|missed| missed.to_string()).collect()
    }

    #[test]
    fn what_is_reached_is_not_missed() {
        let figures =
            Figures { calls: 100.0, succeeded: 99.0, p99_ms: Some(59_999.0), ..Figures::default() };
        assert!(missed("success>=99%,p99<60s,leaked<=0,zombies=0", &figures).is_empty());
        assert_eq!(missed("p99<59s", &figures), ["p99 is 60 s, not < 59 s"]);
        assert_eq!(missed("success>99%", &figures), ["success is 99 %, not > 99 %"]);
        assert_eq!(missed("recovery<11s", &figures), ["recovery is never, not < 11 s"]);
        assert_eq!(missed("p99<2min, p99 >= 59999ms", &figures), [""; 0]);
    }

    #[test]
    fn a_run_without_success_was_not_fast() {
        let figures = Figures { calls: 5.0, ..Figures::default() };
        assert_eq!(missed("p99<60s", &figures), ["p99 is never, not < 60 s"]);
    }

    #[test]
    fn an_invalid_objective_is_named_with_what_would_be_valid() {
        for (text, says) in [
            ("", "``: it has no <, <=, >, >= or =; write for example success>=99%"),
            ("p99", "`p99`: it has no <, <=, >, >= or =; write for example success>=99%"),
            ("p99<60", "`p99<60`: `60` is not a time such as 250ms, 60s or 2min"),
            ("success>=0.99", "`success>=0.99`: `0.99` is not a share such as 99%, 100% at most"),
            ("success>=101%", "`success>=101%`: `101%` is not a share such as 99%, 100% at most"),
            ("leaked<=none", "`leaked<=none`: `none` is not a number, 0 or more"),
            ("leaked<=-1", "`leaked<=-1`: `-1` is not a number, 0 or more"),
            ("p99=<60s", "`p99=<60s`: `<60s` is not a time such as 250ms, 60s or 2min"),
        ] {
            let rejected = text.parse::<Slo>().unwrap_err().to_string();
            assert_eq!(rejected, says, "{text}");
        }
        let unknown = "p95<1s".parse::<Slo>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("`p95<1s`: unknown figure `p95`, expected one of success, p50")
        );
    }
}
