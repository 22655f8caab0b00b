//! Downsamples a series to what a plot can show.

use std::iter;

use crate::Row;

/// A row and where it ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    pub(super) row: Row,
    pub(super) end_s: f64,
}

impl Slice {
    /// How long it is, in seconds.
    pub(super) fn length_s(&self) -> f64 {
        self.end_s - self.row.t_s
    }

    /// All calls that ended in it.
    pub(super) fn ended(&self) -> u64 {
        let Row { succeeded, failed, rejected, .. } = self.row;
        succeeded.saturating_add(failed).saturating_add(rejected)
    }
}

/// At most `most` slices, in order of time. Counts are summed; of latencies, calls in flight and queued
/// calls the maximum is kept, of medians their median, of limits the last. Not for states of a breaker: a
/// short one would be lost.
pub(super) fn slices(series: &[Row], most: usize) -> Vec<Slice> {
    let fine = fine(series);
    fine.chunks(fine.len().div_ceil(most.max(1)).max(1)).map(merged).collect()
}

/// As [`slices`], each about this many seconds long, and never shorter than a row: rates of policies with
/// different durations can be compared only over the same time.
pub(super) fn slices_of(series: &[Row], length_s: f64) -> Vec<Slice> {
    let fine = fine(series);
    let longest = fine.iter().map(|(row, end)| end - row.t_s).fold(0.0, f64::max);
    // Casting NaN yields zero.
    let together = (length_s / longest).round() as usize;
    fine.chunks(together.max(1)).map(merged).collect()
}

/// The rows with a duration, each with its end.
fn fine(series: &[Row]) -> Vec<(&Row, f64)> {
    let rows: Vec<_> = series.iter().filter(|row| row.t_s.is_finite() && row.t_s >= 0.0).collect();
    let Some(last) = rows.last() else { return Vec::new() };
    let usual = rows.iter().rev().nth(1).map_or(1.0, |before| last.t_s - before.t_s);
    let end = last.t_s + if usual > 0.0 { usual } else { 1.0 };
    let starts = rows.iter().skip(1).map(|row| row.t_s).chain(iter::once(end));
    rows.iter().copied().zip(starts).filter(|(row, end)| *end > row.t_s).collect()
}

fn merged(rows: &[(&Row, f64)]) -> Slice {
    let sum = |count: fn(&Row) -> u64| {
        rows.iter().fold(0_u64, |sum, (row, _)| sum.saturating_add(count(row)))
    };
    let highest = |value: fn(&Row) -> Option<f64>| {
        rows.iter().filter_map(|(row, _)| value(row)).filter(|ms| ms.is_finite()).reduce(f64::max)
    };
    let peak = |count: fn(&Row) -> u64| rows.iter().map(|(row, _)| count(row)).max();
    let mut medians: Vec<_> =
        rows.iter().filter_map(|(row, _)| row.p50_ms).filter(|ms| ms.is_finite()).collect();
    medians.sort_by(f64::total_cmp);
    let first = rows.first().map(|(row, _)| row.t_s).unwrap_or_default();
    let (last, end_s) = rows.last().map(|(row, end)| ((*row).clone(), *end)).unwrap_or_default();
    let row = Row {
        t_s: first,
        offered: sum(|row| row.offered),
        succeeded: sum(|row| row.succeeded),
        failed: sum(|row| row.failed),
        rejected: sum(|row| row.rejected),
        p50_ms: medians.get(medians.len() / 2).copied(),
        p99_ms: highest(|row| row.p99_ms),
        max_ms: highest(|row| row.max_ms),
        in_flight: peak(|row| row.in_flight).unwrap_or_default(),
        waiting: peak(|row| row.waiting).unwrap_or_default(),
        ..last
    };
    Slice { row, end_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, succeeded: u64, p50_ms: Option<f64>) -> Row {
        Row { t_s, succeeded, p50_ms, max_ms: p50_ms, in_flight: succeeded, ..Row::default() }
    }

    #[test]
    fn a_short_series_stays_as_it_is() {
        let series = [row(0.0, 1, Some(5.0)), row(2.0, 0, None)];
        let slices = slices(&series, 100);
        assert_eq!(slices.iter().map(|slice| slice.end_s).collect::<Vec<_>>(), [2.0, 4.0]);
        assert_eq!(slices.into_iter().map(|slice| slice.row).collect::<Vec<_>>(), series);
    }

    #[test]
    fn a_long_series_is_added_up_and_keeps_its_peaks() {
        let at = |at: u32| (at == 7_001).then_some(99.0).or(Some(1.0));
        let series: Vec<_> = (0..10_000).map(|n| row(f64::from(n), 1, at(n))).collect();
        let slices = slices(&series, 100);
        assert_eq!(slices.len(), 100);
        assert_eq!(slices.iter().map(|slice| slice.row.succeeded).sum::<u64>(), 10_000);
        assert_eq!(slices.iter().filter(|slice| slice.row.max_ms == Some(99.0)).count(), 1);
        assert!(slices.iter().all(|slice| slice.row.p50_ms == Some(1.0)));
        assert_eq!(slices[99].end_s, 10_000.0);
    }

    #[test]
    fn series_of_different_grain_are_cut_into_the_same_lengths() {
        let of = |length_s: f64, rows: u32| -> Vec<_> {
            (0..rows).map(|at| row(f64::from(at) * length_s, 1, None)).collect()
        };
        for (series, expected) in [(of(1.0, 70), 14.0), (of(7.0, 100), 14.0), (of(20.0, 4), 20.0)] {
            let slices = slices_of(&series, 14.0);
            assert!(slices.iter().all(|slice| slice.length_s() == expected), "{expected}");
        }
        assert_eq!(slices_of(&[], 14.0), []);
    }

    #[test]
    fn one_row_lasts_a_second_and_none_makes_none() {
        assert_eq!(slices(&[row(3.0, 1, None)], 9)[0].length_s(), 1.0);
        assert_eq!(slices(&[], 9), []);
    }

    #[test]
    fn rows_that_take_no_time_are_left_out() {
        let series =
            [row(0.0, 1, None), row(0.0, 2, None), row(f64::NAN, 3, None), row(1.0, 4, None)];
        let counts: Vec<_> = slices(&series, 9).iter().map(|slice| slice.row.succeeded).collect();
        assert_eq!(counts, [2, 4]);
    }
}
