//! A run over time.

use std::time::Duration;

use crate::data::Row;
use crate::statistics::{Call, Ending, ms};

/// The state of a run at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, since the run began.
    pub at: Duration,
    /// The breaker's state, if there is a breaker.
    pub breaker: Option<String>,
    /// The limit of calls in flight, if there is one.
    pub limit: Option<u64>,
    /// Calls in flight.
    pub in_flight: u64,
    /// Queued calls.
    pub waiting: u64,
}

/// Rows of a run, however long it is.
const MOST: u64 = 100;

/// The rows of a run: a second each, or a hundredth of the run if that is longer. `samples` are in
/// the order of time.
pub fn series(calls: &[Call], samples: &[Sample]) -> Vec<Row> {
    let end = calls.iter().map(Call::ended).max().unwrap_or_default();
    let slice = Duration::from_millis((end.as_millis() as u64).div_ceil(MOST));
    let slice = slice.max(Duration::from_secs(1));
    let at = |time: Duration| (time.as_nanos() / slice.as_nanos()) as usize;
    // What ends on the last edge belongs to the slice before it.
    let last = at(end.saturating_sub(Duration::from_nanos(1)));
    let rows = if calls.is_empty() { 0 } else { last + 1 };
    let mut times = vec![Vec::new(); rows];
    let mut offered = vec![0; rows];
    let mut endings = vec![[0_u64; 2]; rows];
    for call in calls {
        offered[at(call.meant).min(last)] += 1;
        let ended = at(call.ended()).min(last);
        match call.ending {
            Ending::Succeeded => times[ended].push(call.took),
            Ending::Failed => endings[ended][0] += 1,
            Ending::Rejected => endings[ended][1] += 1,
        }
    }
    (0..rows)
        .map(|row| {
            let from = slice * row as u32;
            let seen = samples.partition_point(|sample| sample.at < from + slice);
            let sample = seen.checked_sub(1).map(|seen| samples[seen].clone()).unwrap_or_default();
            times[row].sort();
            let [failed, rejected] = endings[row];
            let quantile = |share: f64| nearest(&times[row], share).map(ms);
            Row {
                t_s: from.as_secs_f64(),
                offered: offered[row],
                succeeded: times[row].len() as u64,
                failed,
                rejected,
                p50_ms: quantile(0.5),
                p99_ms: quantile(0.99),
                max_ms: quantile(1.0),
                breaker: sample.breaker,
                limit: sample.limit,
                in_flight: sample.in_flight,
                waiting: sample.waiting,
            }
        })
        .collect()
}

/// The smallest of `sorted` that this share is not above.
fn nearest(sorted: &[Duration], share: f64) -> Option<Duration> {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(meant_ms: u64, took_ms: u64, ending: Ending) -> Call {
        let [meant, took] = [meant_ms, took_ms].map(Duration::from_millis);
        Call { meant, took, ending, late: false }
    }

    #[test]
    fn calls_are_offered_where_they_start_and_counted_where_they_end() {
        let calls = [
            call(100, 1_500, Ending::Succeeded),
            call(200, 1_000, Ending::Succeeded),
            call(300, 100, Ending::Rejected),
            call(1_900, 600, Ending::Failed),
        ];
        let sample = Sample {
            at: Duration::from_millis(1_999),
            breaker: Some("open".into()),
            waiting: 3,
            ..Sample::default()
        };
        let rows = series(&calls, &[sample]);
        assert_eq!(rows.iter().map(|row| row.offered).collect::<Vec<_>>(), [3, 1, 0]);
        let ended = |row: &Row| [row.succeeded, row.failed, row.rejected];
        assert_eq!(rows.iter().map(ended).collect::<Vec<_>>(), [[0, 0, 1], [2, 0, 0], [0, 1, 0]]);
        assert_eq!([rows[1].p50_ms, rows[1].max_ms], [Some(1_000.0), Some(1_500.0)]);
        assert_eq!([rows[0].p50_ms, rows[0].p99_ms], [None, None]);
        let breakers: Vec<_> = rows.iter().map(|row| row.breaker.as_deref()).collect();
        assert_eq!(breakers, [None, Some("open"), Some("open")]);
        assert_eq!(rows[2].waiting, 3);
    }

    #[test]
    fn however_long_the_run_there_are_no_more_than_a_hundred_rows() {
        let calls: Vec<_> = (0..3_600).map(|s| call(s * 1_000, 1_000, Ending::Succeeded)).collect();
        let rows = series(&calls, &[]);
        assert_eq!(rows.len(), 100);
        assert_eq!(rows.iter().map(|row| row.succeeded).sum::<u64>(), 3_600);
        assert_eq!(rows[99].t_s, 99.0 * 36.0);
        assert!(series(&[], &[]).is_empty());
        assert_eq!(series(&[call(0, 0, Ending::Succeeded)], &[]).len(), 1);
    }
}
