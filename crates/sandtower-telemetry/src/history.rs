use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::alerts::AllSeries;
use crate::durations::BOUNDS;
use crate::reading::{Labels, SeriesValue};

/// One point each so often.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// One hour.
const POINTS: usize = 720;

/// What is kept of a source.
struct Line {
    name: &'static str,
    unit: &'static str,
    metric: &'static str,
    only: &'static [(&'static str, &'static str)],
    how: How,
}

/// How a point is made of the series of a line.
#[derive(Clone, Copy)]
enum How {
    /// Their sum.
    Sum,
    /// How much their sum grew since the point before.
    Growth,
    /// The quantile of what a histogram counted since the point before.
    Quantile(f64),
}

const fn line(name: &'static str, metric: &'static str, how: How) -> Line {
    Line { name, unit: "", metric, only: &[], how }
}

const fn closed(name: &'static str, only: &'static [(&'static str, &'static str)]) -> Line {
    Line { only, ..line(name, "sandtower_circuit_breaker_state", How::Sum) }
}

const fn seconds(
    name: &'static str,
    only: &'static [(&'static str, &'static str)],
    quantile: f64,
) -> Line {
    let line = line(name, "sandtower_duration_seconds", How::Quantile(quantile));
    Line { only, unit: "seconds", ..line }
}

const CREATE: &[(&str, &str)] = &[("group", "create"), ("stage", "call")];

const LINES: &[Line] = &[
    line("in_flight", "sandtower_admission_in_flight", How::Sum),
    line("waiting", "sandtower_admission_waiting", How::Sum),
    line("standing_queues", "sandtower_admission_queue_standing", How::Sum),
    line("admitted", "sandtower_admission_admitted_total", How::Growth),
    line("rejected", "sandtower_admission_rejected_total", How::Growth),
    line("creations_started", "sandtower_creations_started_total", How::Growth),
    line("creations_succeeded", "sandtower_creations_succeeded_total", How::Growth),
    line("creations_failed", "sandtower_creations_failed_total", How::Growth),
    line("retries", "sandtower_retry_retries_total", How::Growth),
    closed("control_plane_closed", &[("breaker", "control_plane"), ("state", "closed")]),
    closed("data_plane_closed", &[("breaker", "data_plane"), ("state", "closed")]),
    closed("breakers_closed", &[("state", "closed")]),
    line("sandboxes_in_use", "sandtower_quota_in_use", How::Sum),
    line("sandbox_limit", "sandtower_quota_limit", How::Sum),
    line("attempts_in_window", "sandtower_rate_limit_attempts", How::Sum),
    line("over_rate_limit", "sandtower_rate_limit_over_total", How::Growth),
    line("orphans", "sandtower_tracker_killing", How::Sum),
    line("abandoned", "sandtower_tracker_abandoned_total", How::Growth),
    line("checks_failed", "sandtower_health_check_discarded_total", How::Growth),
    line("fallbacks", "sandtower_fallback_used_total", How::Growth),
    line("calls", "sandtower_calls_total", How::Growth),
    seconds("creation_p50", CREATE, 0.5),
    seconds("creation_p95", CREATE, 0.95),
    seconds("creation_queue_p95", &[("group", "create"), ("stage", "queue")], 0.95),
];

/// The last hour of one source, as data for a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct History {
    /// The seconds between two points.
    pub every_s: u64,
    /// The lines of which the source has points.
    pub lines: Vec<HistoryLine>,
}

/// One line of a [`History`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistoryLine {
    /// What it is, such as `in_flight`.
    pub name: &'static str,
    /// `seconds`, or empty for a number.
    pub unit: &'static str,
    /// The points, the oldest first; `None` (`null`): nothing was known. Counters are how much they
    /// grew since the point before.
    pub points: Vec<Option<f32>>,
}

/// The points of one source: at most 720 of 24 numbers, 70 KiB.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    points: VecDeque<[f32; LINES.len()]>,
    /// Sums and buckets of the point before.
    before: Vec<Vec<f64>>,
}

impl Recorder {
    /// Takes in the series of `source`.
    pub(crate) fn record(&mut self, all: &AllSeries<'_>, source: &str) {
        self.before.resize_with(LINES.len(), Vec::new);
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let mut point = [f32::NAN; LINES.len()];
        for ((line, point), before) in LINES.iter().zip(&mut point).zip(&mut self.before) {
            if let Some(value) = line.value(all, source, before) {
                *point = value as f32;
            }
        }
        self.points.push_back(point);
    }

    pub(crate) fn history(&self) -> History {
        let lines = LINES.iter().enumerate().map(|(at, line)| {
            let points = self.points.iter().map(|point| Some(point[at]).filter(|it| !it.is_nan()));
            HistoryLine { name: line.name, unit: line.unit, points: points.collect() }
        });
        let known = |line: &HistoryLine| line.points.iter().any(Option::is_some);
        History { every_s: EVERY.as_secs(), lines: lines.filter(known).collect() }
    }
}

impl Line {
    fn value(&self, all: &AllSeries<'_>, source: &str, before: &mut Vec<f64>) -> Option<f64> {
        let series = all.iter().filter(|(metric, _)| metric.name == self.metric);
        let series = series.flat_map(|(_, series)| series);
        let mut now: Vec<f64> = Vec::new();
        for series in series.filter(|series| self.is_of(&series.labels, source)) {
            match &series.value {
                SeriesValue::Number(value) => add(&mut now, std::iter::once(*value)),
                SeriesValue::Histogram(row) => {
                    let counts = row["buckets"].as_array().into_iter().flatten();
                    add(&mut now, counts.filter_map(serde_json::Value::as_f64));
                }
            }
        }
        if now.is_empty() {
            before.clear();
            return None;
        }
        let grown = now.iter().enumerate().map(|(at, now)| {
            before.get(at).map_or(0.0, |before| if now < before { *now } else { now - before })
        });
        let grown: Vec<f64> = grown.collect();
        *before = now;
        match self.how {
            How::Sum => before.first().copied(),
            How::Growth => grown.first().copied(),
            How::Quantile(quantile) => upper_bound(&grown, quantile),
        }
    }

    fn is_of(&self, labels: &Labels<'_>, source: &str) -> bool {
        let has = |label: &str, value: &str| labels.iter().any(|it| it.0 == label && it.1 == value);
        labels.first().is_some_and(|first| first.1 == source)
            && self.only.iter().all(|(label, value)| has(label, value))
    }
}

fn add(sums: &mut Vec<f64>, values: impl Iterator<Item = f64>) {
    for (at, value) in values.enumerate() {
        match sums.get_mut(at) {
            Some(sum) => *sum += value,
            None => sums.push(value),
        }
    }
}

/// The bound below which the quantile lies; the last bound for what has none.
fn upper_bound(counts: &[f64], quantile: f64) -> Option<f64> {
    let wanted = counts.iter().sum::<f64>() * quantile;
    let mut so_far = 0.0;
    let bucket = counts.iter().position(|count| {
        so_far += count;
        *count > 0.0 && so_far >= wanted
    })?;
    BOUNDS.get(bucket).or(BOUNDS.last()).copied()
}
