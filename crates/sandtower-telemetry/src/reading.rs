//! From snapshots to series.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandtower_core::Operation;
use serde_json::Value;

use crate::metric::{Absent, Each, Metric, Origin};
use crate::table::{STACK, TABLE};

/// How many breakers of a source with one per scope have series of their own.
const MOST_BREAKERS: usize = 20;

/// The label of what has no series of its own.
const OTHER: &str = "other";

/// One source at one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    name: Arc<str>,
    kind: &'static str,
    operations: &'static [Operation],
    snapshot: Value,
}

/// One layer within a reading.
#[derive(Clone, Copy)]
struct Part<'a> {
    layer: &'a str,
    breaker: &'a str,
    snapshot: &'a Value,
}

/// The labels of a series, in the order of [`Metric::labels`].
pub(crate) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// One series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series<'a> {
    pub(crate) labels: Labels<'a>,
    pub(crate) value: SeriesValue<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SeriesValue<'a> {
    Number(f64),
    /// A row of [`Durations`](crate::Durations).
    Histogram(&'a Value),
}

/// All metrics that have series, with them. Series of one metric differ in their labels.
pub(crate) fn series(readings: &[Reading]) -> Vec<(&'static Metric, Vec<Series<'_>>)> {
    let parts: Vec<_> = readings.iter().map(|reading| (reading, reading.parts())).collect();
    let of_metric = |metric: &'static Metric| {
        let mut all = Collected::default();
        for (reading, parts) in &parts {
            for part in parts.iter().filter(|part| part.layer == metric.layer) {
                all.add_part(metric, reading, *part);
            }
        }
        (metric, all.series)
    };
    TABLE.iter().map(of_metric).filter(|(_, series)| !series.is_empty()).collect()
}

impl Reading {
    pub(crate) fn new(
        name: Arc<str>,
        kind: &'static str,
        operations: &'static [Operation],
        snapshot: Value,
    ) -> Self {
        Self { name, kind, operations, snapshot }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let whole = Part { layer: self.kind, breaker: "", snapshot: &self.snapshot };
        match self.kind {
            "stack" => {
                let part =
                    |&(field, layer, breaker): &(&'static str, &'static str, &'static str)| {
                        let snapshot = self.snapshot.get(field).filter(|value| !value.is_null())?;
                        Some(Part { layer, breaker, snapshot })
                    };
                std::iter::once(whole).chain(STACK.iter().filter_map(part)).collect()
            }
            "circuit_breaker" => vec![Part { breaker: text(&self.snapshot, "name"), ..whole }],
            "circuit_breakers" => breakers(&self.snapshot),
            _ => vec![whole],
        }
    }
}

/// The breakers that matter most, the others under one name.
fn breakers(snapshot: &Value) -> Vec<Part<'_>> {
    let mut rows: Vec<_> = snapshot.as_array().into_iter().flatten().collect();
    let calls = |row: &Value| number(row, "counters.succeeded") + number(row, "counters.failed");
    rows.sort_by(|a, b| {
        let closed = |row: &Value| text(row, "state") == "closed";
        closed(a).cmp(&closed(b)).then(calls(b).total_cmp(&calls(a)))
    });
    rows.into_iter()
        .enumerate()
        .map(|(at, snapshot)| Part {
            layer: "circuit_breaker",
            breaker: if at < MOST_BREAKERS { text(snapshot, "name") } else { OTHER },
            snapshot,
        })
        .collect()
}

/// The series of one metric, the values of equal labels added up.
#[derive(Default)]
struct Collected<'a> {
    series: Vec<Series<'a>>,
    at: BTreeMap<Labels<'a>, usize>,
}

impl<'a> Collected<'a> {
    fn add_part(&mut self, metric: &'static Metric, reading: &'a Reading, part: Part<'a>) {
        let mut labels = vec![("source", &*reading.name)];
        if part.layer == "circuit_breaker" {
            labels.push(("breaker", part.breaker));
        }
        let Some(each) = metric.each else {
            return self.add_row(metric, labels, part.snapshot);
        };
        let rows = rows(each, part.snapshot);
        for (row, values) in &rows {
            let of_row = each.labels.iter().zip(values).map(|((label, _), value)| (*label, *value));
            self.add_row(metric, labels.iter().copied().chain(of_row).collect(), row);
        }
        if each.labels.is_empty() {
            // The sum of no row is 0, too.
            self.add_row(metric, labels.clone(), &Value::Null);
        }
        if each.operations && metric.absent == Absent::Zero {
            let seen: Vec<&str> = rows.iter().flat_map(|(_, values)| values).copied().collect();
            let unseen = reading.operations.iter().map(|operation| operation.name());
            for operation in unseen.filter(|name| !seen.contains(name)) {
                let labels = labels.iter().copied().chain([("operation", operation)]);
                self.add_row(metric, labels.collect(), &Value::Null);
            }
        }
    }

    fn add_row(&mut self, metric: &'static Metric, labels: Labels<'a>, row: &'a Value) {
        match metric.from {
            Origin::Field(path) => self.add_number(metric, labels, path_in(row, path)),
            Origin::Fields(label, fields) => {
                for (value, path) in fields {
                    self.add_number(metric, with(&labels, label, value), path_in(row, path));
                }
            }
            Origin::State(path, label, states) => {
                let present = text(row, path);
                for state in states {
                    let value = f64::from(u8::from(*state == present));
                    self.add(with(&labels, label, state), value);
                }
            }
            Origin::Listed(path, label, names) => {
                let listed = path_in(row, path).as_array();
                for name in names {
                    let is_listed = listed.is_some_and(|listed| listed.iter().any(|it| it == name));
                    self.add(with(&labels, label, name), f64::from(u8::from(is_listed)));
                }
            }
            Origin::Histogram => {
                self.series.push(Series { labels, value: SeriesValue::Histogram(row) });
            }
        }
    }

    fn add_number(&mut self, metric: &Metric, labels: Labels<'a>, value: &Value) {
        let value = match value {
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::Number(value) => value.as_f64().unwrap_or_default() * metric.scale,
            _ if metric.absent == Absent::Missing => return,
            _ => 0.0,
        };
        self.add(labels, value);
    }

    fn add(&mut self, labels: Labels<'a>, value: f64) {
        if let Some(at) = self.at.get(&labels) {
            if let SeriesValue::Number(sum) = &mut self.series[*at].value {
                *sum += value;
            }
            return;
        }
        self.at.insert(labels.clone(), self.series.len());
        self.series.push(Series { labels, value: SeriesValue::Number(value) });
    }
}

/// The rows of a list with the values of their labels: `other` for those beyond the most.
fn rows<'a>(each: &'static Each, snapshot: &'a Value) -> Vec<(&'a Value, Vec<&'a str>)> {
    let list = if each.path.is_empty() { snapshot } else { path_in(snapshot, each.path) };
    let mut rows: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    let mut most = usize::MAX;
    if let Some((rows_of_their_own, rank)) = each.most {
        most = rows_of_their_own;
        rows.sort_by(|a, b| number(b, rank).total_cmp(&number(a, rank)));
    }
    let values = |at: usize, row: &'a Value| {
        let value = move |field: &&'static str| if at < most { text(row, field) } else { OTHER };
        each.labels.iter().map(|(_, field)| value(field)).collect()
    };
    rows.into_iter().enumerate().map(|(at, row)| (row, values(at, row))).collect()
}

fn with<'a>(labels: &Labels<'a>, label: &'static str, value: &'a str) -> Labels<'a> {
    let mut labels = labels.clone();
    labels.push((label, value));
    labels
}

fn path_in<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, field| match (value, field.parse::<usize>()) {
        (Value::Array(_), Ok(at)) => &value[at],
        _ => &value[field],
    })
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    path_in(value, path).as_str().unwrap_or_default()
}

fn number(value: &Value, path: &str) -> f64 {
    path_in(value, path).as_f64().unwrap_or_default()
}
