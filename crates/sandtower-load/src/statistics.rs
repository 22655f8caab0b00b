//! Computes figures from calls: pure arithmetic.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::data::{Figures, SeedFigures, Tenants};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The caller got its result.
    Succeeded,
    /// An error, or no response.
    Failed,
    /// Rejected by one of our own layers.
    Rejected,
}

/// One call, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was meant to start, since the run began.
    pub meant: Duration,
    /// Its duration since then.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Whether it started late.
    pub late: bool,
}

impl Call {
    /// When it ended, since the run began.
    pub fn ended(&self) -> Duration {
        self.meant.saturating_add(self.took)
    }
}

/// A duration in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Figures {
    /// The figures that follow from the calls alone; the rest keeps its default.
    pub fn of(calls: &[Call]) -> Self {
        let count = |ending| calls.iter().filter(|call| call.ending == ending).count() as f64;
        let succeeded = || calls.iter().filter(|call| call.ending == Ending::Succeeded);
        let first = calls.iter().map(|call| call.meant).min().unwrap_or_default();
        let last = calls.iter().map(Call::ended).max().unwrap_or_default();
        let makespan = last.saturating_sub(first);
        let slowest = succeeded().map(|call| call.took).max().map(ms);
        let quantiles = Quantiles::of(succeeded().map(|call| call.took));
        // The histogram rounds up, by up to 0.1 %: no quantile is above the slowest call.
        let at = |quantile| Some(quantiles.at(quantile)?.min(slowest?));
        let goodput = count(Ending::Succeeded) / makespan.as_secs_f64();
        Self {
            calls: calls.len() as f64,
            succeeded: count(Ending::Succeeded),
            failed: count(Ending::Failed),
            rejected: count(Ending::Rejected),
            late: calls.iter().filter(|call| call.late).count() as f64,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: slowest,
            makespan_ms: ms(makespan),
            goodput_per_s: if goodput.is_finite() { goodput } else { 0.0 },
            ..Self::default()
        }
    }

    /// The share of calls that succeeded; dropped ones count as calls. Without calls, 1.
    pub fn success(&self) -> f64 {
        let came = self.calls + self.dropped;
        if came > 0.0 { self.succeeded / came } else { 1.0 }
    }
}

/// Longer calls count as this long.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Latencies with a precision of a thousandth.
pub(crate) struct Quantiles(Option<Histogram<u64>>);

impl Quantiles {
    pub(crate) fn of(times: impl Iterator<Item = Duration>) -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        let mut histogram = Histogram::new_with_max(longest, 3).ok();
        for time in times {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            if let Some(histogram) = &mut histogram {
                histogram.saturating_record(micros);
            }
        }
        Self(histogram)
    }

    /// In milliseconds; `None`: there were no calls.
    pub(crate) fn at(&self, quantile: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(quantile) as f64 / 1e3)
    }
}

/// Applies a function to every figure.
macro_rules! each_figure {
    ($runs:expr, $take:expr) => {{
        let (runs, take): (&[SeedFigures], fn(Vec<f64>) -> f64) = ($runs, $take);
        each_figure!(@ runs take
            calls succeeded failed rejected dropped late attempts amplification executions_done
            executions_failed retries makespan_ms goodput_per_s leaked_sandboxes
            zombies_handed_out; p50_ms p90_ms p99_ms max_ms recovery_ms)
    }};
    (@ $runs:ident $take:ident $($figure:ident)*; $($time:ident)*) => {
        Figures {
            $($figure: $take($runs.iter().map(|run| run.figures.$figure).collect()),)*
            $($time: finite($take($runs.iter().map(|run| never(run.figures.$time)).collect())),)*
            ..Figures::default()
        }
    };
}

/// The median of each figure over runs of one policy in one scenario; they need not be from one run.
///
/// A value that never came, such as a recovery, ranks as longer than any other.
pub fn medians(runs: &[SeedFigures]) -> Figures {
    let Some(first) = runs.first() else { return Figures::default() };
    let Figures { scenario, policy, clock, .. } = first.figures.clone();
    let seeds = runs.len() as u64;
    let tenants: Vec<_> = runs.iter().filter_map(|run| run.figures.tenants).collect();
    let tenants = Tenants::medians(&tenants);
    Figures { scenario, policy, clock, seeds, tenants, ..each_figure!(runs, median) }
}

/// For comparison: a value that never came is longer than any that did.
pub(crate) fn never(time: Option<f64>) -> f64 {
    time.unwrap_or(f64::INFINITY)
}

fn finite(time: f64) -> Option<f64> {
    Some(time).filter(|time| time.is_finite())
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// The index of the worst run: least success, then most sandboxes leaked, then the highest p99.
pub fn worst(runs: &[SeedFigures]) -> Option<usize> {
    (0..runs.len()).min_by(|&a, &b| {
        let [a, b] = [&runs[a].figures, &runs[b].figures];
        let success = a.success().total_cmp(&b.success());
        let leaked = b.leaked_sandboxes.total_cmp(&a.leaked_sandboxes);
        success.then(leaked).then(never(b.p99_ms).total_cmp(&never(a.p99_ms)))
    })
}

/// From `end`, when a fault ended, until 95 % of the calls that were meant to start within `window` succeed;
/// `None`: never.
pub fn recovery(calls: &[Call], end: Duration, window: Duration) -> Option<Duration> {
    const STEP: Duration = Duration::from_millis(250);
    const RECOVERED: f64 = 0.95;
    let mut calls: Vec<_> = calls.iter().filter(|call| call.meant >= end).collect();
    calls.sort_by_key(|call| call.meant);
    let last = calls.last()?.meant;
    let mut from = end;
    while from <= last {
        let first = calls.partition_point(|call| call.meant < from);
        let after = calls.partition_point(|call| call.meant < from.saturating_add(window));
        let good =
            calls[first..after].iter().filter(|call| call.ending == Ending::Succeeded).count();
        // A window without calls proves nothing.
        if after > first && good as f64 >= RECOVERED * (after - first) as f64 {
            return Some(from - end);
        }
        from += STEP;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(meant: u64, took: u64, ending: Ending) -> Call {
        let [meant, took] = [meant, took].map(Duration::from_secs);
        Call { meant, took, ending, late: false }
    }

    #[test]
    fn times_are_those_of_the_calls_that_succeeded() {
        let mut calls: Vec<_> = (1..=100).map(|s| call(0, s, Ending::Succeeded)).collect();
        calls.push(call(0, 500, Ending::Failed));
        let figures = Figures::of(&calls);
        assert_eq!([figures.calls, figures.succeeded, figures.failed], [101.0, 100.0, 1.0]);
        for (figure, seconds) in
            [(figures.p50_ms, 50.0), (figures.p90_ms, 90.0), (figures.p99_ms, 99.0)]
        {
            let off = figure.unwrap() / 1e3 / seconds - 1.0;
            assert!(off.abs() < 0.002, "{figure:?} for {seconds} s");
        }
        assert_eq!((figures.max_ms, figures.makespan_ms), (Some(100e3), 500e3));
        assert_eq!(figures.goodput_per_s, 0.2);
    }

    #[test]
    fn no_quantile_is_above_the_slowest_call() {
        for took in [1_001, 4_097, 123_457, 999_999] {
            let figures = Figures::of(&[call(0, took, Ending::Succeeded)]);
            assert_eq!([figures.p50_ms, figures.p99_ms], [figures.max_ms; 2], "{took} ms");
        }
    }

    #[test]
    fn without_success_there_is_no_latency() {
        let figures = Figures::of(&[call(0, 5, Ending::Failed)]);
        assert_eq!([figures.p50_ms, figures.p99_ms, figures.max_ms], [None; 3]);
        let succeeded = run(1, 1.0, 0.0, 5.0);
        let none = |seed| SeedFigures { seed, figures: figures.clone() };
        assert_eq!(medians(&[succeeded.clone(), none(2)]).p99_ms, None);
        assert_eq!(medians(&[succeeded.clone(), succeeded, none(2)]).p99_ms, Some(5.0));
    }

    #[test]
    fn no_calls_are_no_figures_but_numbers() {
        let figures = Figures::of(&[]);
        assert_eq!(figures, Figures::default());
        assert_eq!(figures.success(), 1.0);
        assert_eq!(medians(&[]), Figures::default());
        assert_eq!(worst(&[]), None);
    }

    fn run(seed: u64, succeeded: f64, leaked: f64, p99_ms: f64) -> SeedFigures {
        let figures = Figures {
            calls: 10.0,
            succeeded,
            leaked_sandboxes: leaked,
            p99_ms: Some(p99_ms),
            recovery_ms: (seed > 1).then_some(p99_ms),
            ..Figures::default()
        };
        SeedFigures { seed, figures }
    }

    #[test]
    fn a_median_is_of_each_figure_for_itself() {
        let runs = [run(1, 10.0, 0.0, 5.0), run(2, 8.0, 2.0, 1.0), run(3, 9.0, 1.0, 3.0)];
        let median = medians(&runs);
        assert_eq!([median.succeeded, median.leaked_sandboxes], [9.0, 1.0]);
        assert_eq!(median.p99_ms, Some(3.0));
        assert_eq!(median.seeds, 3);
        // 1, 3, never.
        assert_eq!(median.recovery_ms, Some(3.0));
        assert_eq!(medians(&runs[..2]).succeeded, 9.0);
        assert_eq!(medians(&runs[..2]).recovery_ms, None);
    }

    #[test]
    fn the_worst_run_has_least_success_then_most_leaks_then_the_longest_calls() {
        let runs = [run(1, 9.0, 0.0, 9.0), run(2, 8.0, 1.0, 1.0), run(3, 8.0, 1.0, 2.0)];
        assert_eq!(worst(&runs), Some(2));
        assert_eq!(worst(&runs[..2]), Some(1));
        let same = [run(1, 9.0, 0.0, 9.0), run(2, 9.0, 0.0, 9.0)];
        assert_eq!(worst(&same), Some(0));
    }

    #[test]
    fn recovery_is_when_the_calls_of_the_next_window_succeed() {
        let end = Duration::from_secs(10);
        let window = Duration::from_secs(5);
        let until = |well: u64| -> Vec<_> {
            let ending = |s| if s < well { Ending::Failed } else { Ending::Succeeded };
            (0..30).map(|s| call(s, 1, ending(s))).collect()
        };
        assert_eq!(recovery(&until(5), end, window), Some(Duration::ZERO));
        let after = recovery(&until(14), end, window).unwrap();
        assert_eq!(after, Duration::from_millis(3_250));
        assert_eq!(recovery(&until(99), end, window), None);
        assert_eq!(recovery(&[], end, window), None);
    }
}
