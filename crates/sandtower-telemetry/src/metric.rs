/// One metric: its name, and where its value comes from. [`TABLE`](crate::TABLE) has all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name as it is exported, with the unit and `_total` at its end.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
    /// The [kind](sandtower_core::MetricSource::KIND) of layer that has it.
    pub layer: &'static str,
    /// Where in the snapshot its values are.
    pub from: Origin,
    /// The list in the snapshot with one row per series, if there is one.
    pub each: Option<&'static Each>,
    /// What the number in the snapshot is multiplied by, to get to base units.
    pub scale: f64,
    /// What is exported where the snapshot has `null`.
    pub absent: Absent,
}

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows, from 0 at the start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations in seconds, by the bounds of its buckets.
    Histogram,
}

impl Kind {
    /// The name in the exposition.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Where in a snapshot, or in a row of its [list](Each), the values of a metric are. Paths are names of
/// fields, or positions in a list, with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A number, or a boolean as 0 or 1.
    Field(&'static str),
    /// Several fields, one series each, by a label: its name, then its values with their fields.
    Fields(&'static str, &'static [(&'static str, &'static str)]),
    /// A field that names one of several states: its path, the label, all states. One series for each
    /// state, 1 for the present one and 0 for the others.
    State(&'static str, &'static str, &'static [&'static str]),
    /// A list of names: its path, the label, all names. One series for each, 1 if it is listed.
    Listed(&'static str, &'static str, &'static [&'static str]),
    /// A histogram in the row: `buckets`, `sum`, `exemplars`.
    Histogram,
}

/// A list in a snapshot, one series for each of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Each {
    /// The path of the list; empty: the snapshot is the list.
    pub path: &'static str,
    /// The labels of a row, with the fields that their values are in. None: the values of all rows are
    /// added up.
    pub labels: &'static [(&'static str, &'static str)],
    /// Whether its rows are operations: those that are known beforehand have rows from the start.
    pub operations: bool,
    /// How many rows have series of their own, and the field whose highest values choose them. The sum
    /// of the rest is in one more row, whose labels are `other`.
    pub most: Option<(usize, &'static str)>,
}

/// What is exported where a snapshot has `null`, and for an operation without a call so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// 0.
    Zero,
    /// Nothing: 0 would be wrong, such as for a limit that is not known.
    Missing,
}

/// A row of the table, as it is written there.
pub(crate) const fn counter(
    layer: &'static str,
    name: &'static str,
    from: Origin,
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        help,
        layer,
        from,
        each: None,
        scale: 1.0,
        absent: Absent::Zero,
    }
}

pub(crate) const fn gauge(
    layer: &'static str,
    name: &'static str,
    from: Origin,
    help: &'static str,
) -> Metric {
    Metric { kind: Kind::Gauge, ..counter(layer, name, from, help) }
}

pub(crate) const fn histogram(
    layer: &'static str,
    name: &'static str,
    each: &'static Each,
    help: &'static str,
) -> Metric {
    Metric { kind: Kind::Histogram, ..counter(layer, name, Origin::Histogram, help) }.each(each)
}

impl Metric {
    pub(crate) const fn each(self, each: &'static Each) -> Self {
        Self { each: Some(each), ..self }
    }

    /// The field is in milliseconds.
    pub(crate) const fn millis(self) -> Self {
        Self { scale: 0.001, ..self }
    }

    /// Nothing is exported where the field is `null`.
    pub(crate) const fn missing(self) -> Self {
        Self { absent: Absent::Missing, ..self }
    }

    /// The unit that its name says.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        name.ends_with("_seconds").then_some("seconds")
    }

    /// The names of its labels, `source` first.
    pub fn labels(&self) -> Vec<&'static str> {
        let mut labels = vec!["source"];
        if self.layer == "circuit_breaker" {
            labels.push("breaker");
        }
        labels.extend(self.each.iter().flat_map(|each| each.labels).map(|(label, _)| *label));
        match self.from {
            Origin::Fields(label, _) | Origin::State(_, label, _) | Origin::Listed(_, label, _) => {
                labels.push(label);
            }
            Origin::Field(_) | Origin::Histogram => {}
        }
        labels
    }

    /// The fields of the snapshot that it is made of, for documents.
    pub fn fields(&self) -> Vec<&'static str> {
        match self.from {
            Origin::Field(path) | Origin::State(path, ..) | Origin::Listed(path, ..) => vec![path],
            Origin::Fields(_, fields) => fields.iter().map(|(_, path)| *path).collect(),
            Origin::Histogram => vec!["buckets", "sum", "exemplars"],
        }
    }
}
