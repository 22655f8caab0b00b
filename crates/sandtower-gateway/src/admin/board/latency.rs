use std::collections::VecDeque;
use std::time::Duration;

use sandtower::core::{MetricSource as _, Tick};
use sandtower_telemetry::{BOUNDS, Durations};
use serde::Serialize;
use serde_json::Value;

use crate::call_times::CallTimes;

/// How far back calls are looked at.
const WINDOW: Duration = Duration::from_secs(300);
/// How often the counts are put aside.
const EVERY: Duration = Duration::from_secs(30);

/// How long calls took, or one stage of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::admin) struct StageLatency {
    /// The group of operations.
    pub(in crate::admin) group: String,
    /// `call`, or a stage of it.
    pub(in crate::admin) stage: String,
    /// How many there were.
    pub(in crate::admin) count: u64,
    pub(in crate::admin) mean_s: f64,
    /// The upper bound of the bucket in which each quantile lies.
    pub(in crate::admin) p50_s: f64,
    pub(in crate::admin) p95_s: f64,
    pub(in crate::admin) p99_s: f64,
}

/// The counts of late, so that what was long ago is not shown.
#[derive(Default)]
pub(super) struct Window {
    before: VecDeque<(Tick, Vec<Row>)>,
}

#[derive(Clone)]
struct Row {
    group: String,
    stage: String,
    buckets: Vec<u64>,
    sum: f64,
}

impl Window {
    /// Puts the counts aside, if it is time.
    pub(super) fn turn(&mut self, times: &CallTimes) {
        let now = Tick::now();
        if self.before.back().is_some_and(|(at, _)| now.since(*at) < EVERY) {
            return;
        }
        self.before.push_back((now, rows(times)));
        // The first stays the last one at or before the window begins.
        while self.before.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.before.pop_front();
        }
    }

    /// What was counted since the window began.
    pub(super) fn read(&self, times: &CallTimes) -> Vec<StageLatency> {
        let before = self.before.front().map_or(&[][..], |(_, rows)| rows);
        let since = |row: Row| {
            let same = |other: &&Row| other.group == row.group && other.stage == row.stage;
            match before.iter().find(same) {
                Some(before) => row.without(before),
                None => row,
            }
        };
        rows(times).into_iter().map(since).filter_map(Row::latency).collect()
    }
}

/// The rows of all threads together.
fn rows(times: &CallTimes) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    for row in times.all().iter().flat_map(rows_of) {
        match all.iter_mut().find(|it| it.group == row.group && it.stage == row.stage) {
            Some(same) => same.add(&row),
            None => all.push(row),
        }
    }
    all
}

/// The rows as they are exported: their fields are no API.
fn rows_of(durations: &Durations) -> Vec<Row> {
    let read = serde_json::to_value(durations.read()).unwrap_or_default();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let counts = |row: &Value| {
        row["buckets"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let row = |row: &Value| Row {
        group: text(row, "group"),
        stage: text(row, "stage"),
        buckets: counts(row),
        sum: row["sum"].as_f64().unwrap_or_default(),
    };
    read["stages"].as_array().into_iter().flatten().map(row).collect()
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, other)| *own += other);
        self.sum += other.sum;
    }

    /// A count that fell has begun again with another configuration.
    fn without(mut self, before: &Self) -> Self {
        let began_again =
            self.buckets.iter().zip(&before.buckets).any(|(now, before)| now < before);
        if !began_again {
            self.buckets.iter_mut().zip(&before.buckets).for_each(|(now, before)| *now -= before);
            self.sum -= before.sum;
        }
        self
    }

    fn latency(self) -> Option<StageLatency> {
        let count: u64 = self.buckets.iter().sum();
        (count > 0).then(|| StageLatency {
            count,
            mean_s: self.sum / count as f64,
            p50_s: self.quantile(count, 0.5),
            p95_s: self.quantile(count, 0.95),
            p99_s: self.quantile(count, 0.99),
            group: self.group,
            stage: self.stage,
        })
    }

    fn quantile(&self, count: u64, quantile: f64) -> f64 {
        let wanted = count as f64 * quantile;
        let mut so_far = 0;
        let bucket = self.buckets.iter().position(|count| {
            so_far += count;
            so_far as f64 >= wanted
        });
        let bound = bucket.and_then(|bucket| BOUNDS.get(bucket)).or(BOUNDS.last());
        bound.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(buckets: Vec<u64>, sum: f64) -> Row {
        Row { group: String::from("create"), stage: String::from("call"), buckets, sum }
    }

    #[test]
    fn only_what_was_counted_since_is_shown() {
        let before = row(vec![5, 0, 0], 1.0);
        let now = row(vec![5, 8, 2], 4.0);
        let latency = now.without(&before).latency().unwrap();
        assert_eq!((latency.count, latency.p50_s, latency.p99_s), (10, BOUNDS[1], BOUNDS[2]));
        assert!((latency.mean_s - 0.3).abs() < 1e-9);
        assert_eq!(row(vec![5], 1.0).without(&row(vec![5], 1.0)).latency(), None);
        assert_eq!(row(vec![1], 1.0).without(&row(vec![5], 9.0)).latency().unwrap().count, 1);
    }
}
