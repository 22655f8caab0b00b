//! Latency over time.

use super::frame::{Frame, HEIGHT};
use super::legend::{Entry, Swatch};
use super::scale::Scale;
use super::slices::{Slice, slices};
use super::svg::Svg;
use super::text::{counted, duration};
use crate::{PolicyReport, Row};

/// More slices than this cannot be distinguished.
const MOST: usize = 120;

pub(super) const LEGEND: [Entry; 3] = [
    Entry { label: "p50", swatch: Swatch::Dot("p50") },
    Entry { label: "p99", swatch: Swatch::Line("p99") },
    Entry { label: "slowest", swatch: Swatch::Ring("slowest") },
];

/// One axis for all policies, so that they can be compared.
pub(super) fn scale<'a>(policies: impl Iterator<Item = &'a PolicyReport>) -> Scale {
    let rows = policies.flat_map(|policy| &policy.series);
    Scale::latency(rows.flat_map(latencies))
}

fn latencies(row: &Row) -> impl Iterator<Item = f64> {
    [row.p50_ms, row.p99_ms, row.max_ms].into_iter().flatten()
}

/// For each slice of time the range from p50 to the slowest, with a mark for each figure.
pub(super) fn plot(policy: &PolicyReport, id: &str, time: &Scale, up: &Scale) -> String {
    let mut svg = Svg::new(HEIGHT);
    let frame = Frame { time, up, top: 24.0 };
    let words = if up.is_log() { "latency, log scale" } else { "latency" };
    frame.draw(&mut svg, words, duration);
    let slices = slices(&policy.series, MOST);
    let known: Vec<_> =
        slices.iter().filter(|slice| latencies(&slice.row).next().is_some()).collect();
    for slice in &known {
        svg.group(&label(slice), |svg| marks(svg, &frame, slice));
    }
    if known.is_empty() {
        frame.nothing(&mut svg, "no call succeeded");
    }
    let name = &policy.median.policy;
    svg.finish(id, &format!("{name}: latency over time"), &described(&known))
}

fn marks(svg: &mut Svg, frame: &Frame<'_>, slice: &Slice) {
    let row = &slice.row;
    let x = frame.x((row.t_s + slice.end_s) / 2.0);
    let values: Vec<_> = latencies(row).collect();
    let least = values.iter().copied().reduce(f64::min).unwrap_or_default();
    let most = values.iter().copied().reduce(f64::max).unwrap_or_default();
    svg.line("mark range", [x, frame.y(least)], [x, frame.y(most)]);
    if let Some(p99) = row.p99_ms {
        let y = frame.y(p99);
        svg.line("mark p99", [x - 3.0, y], [x + 3.0, y]);
    }
    if let Some(max) = row.max_ms {
        svg.circle("mark slowest", [x, frame.y(max)], 2.6);
    }
    if let Some(p50) = row.p50_ms {
        svg.circle("mark p50", [x, frame.y(p50)], 2.0);
    }
}

fn label(slice: &Slice) -> String {
    let row = &slice.row;
    let figure = |name: &str, ms: Option<f64>| {
        ms.map(|ms| format!(", {name} {}", duration(ms))).unwrap_or_default()
    };
    format!(
        "{} to {}: {} succeeded{}{}{}",
        duration(row.t_s * 1e3),
        duration(slice.end_s * 1e3),
        counted(row.succeeded as f64, "call", "calls"),
        figure("p50", row.p50_ms),
        figure("p99", row.p99_ms),
        figure("slowest", row.max_ms),
    )
}

fn described(known: &[&Slice]) -> String {
    let slowest = known
        .iter()
        .filter_map(|slice| slice.row.max_ms.map(|ms| (ms, slice.row.t_s)))
        .reduce(|one, other| if other.0 > one.0 { other } else { one });
    let Some((ms, t_s)) = slowest else { return "No call succeeded.".to_owned() };
    format!(
        "Calls succeeded in {}; the slowest took {} and ended about {} after the start.",
        counted(known.len() as f64, "slice of time", "slices of time"),
        duration(ms),
        duration(t_s * 1e3),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(series: Vec<Row>) -> String {
        let policy = PolicyReport { series, ..PolicyReport::default() };
        plot(&policy, "x", &Scale::time(10.0), &scale([&policy].into_iter()))
    }

    fn row(t_s: f64, p50_ms: Option<f64>) -> Row {
        let twice = p50_ms.map(|ms| ms * 2.0);
        Row { t_s, succeeded: 3, p50_ms, p99_ms: twice, max_ms: twice, ..Row::default() }
    }

    #[test]
    fn a_slice_in_which_nothing_succeeded_has_no_mark() {
        let picture = of(vec![row(0.0, Some(2e3)), row(5.0, None)]);
        for class in ["mark range", "mark p50", "mark p99", "mark slowest"] {
            assert_eq!(picture.matches(class).count(), 1, "{class} in {picture}");
        }
        let label = "0 s to 5 s: 3 calls succeeded, p50 2 s, p99 4 s, slowest 4 s";
        assert!(picture.contains(label), "{picture}");
        assert!(picture.contains("the slowest took 4 s and ended about 0 s after"), "{picture}");
    }

    #[test]
    fn the_slower_a_call_the_higher_its_mark() {
        let picture = of(vec![row(0.0, Some(2e3)), row(5.0, Some(4e3))]);
        let y = |class: &str, nth: usize| -> f64 {
            let mark = picture.split(class).nth(nth + 1).expect("a mark");
            let text = mark.split("cy=\"").nth(1).and_then(|rest| rest.split('"').next());
            text.and_then(|text| text.parse().ok()).expect("a number")
        };
        assert!(y("mark p50", 1) < y("mark p50", 0), "{picture}");
        assert!(y("mark slowest", 0) < y("mark p50", 0), "{picture}");
    }
}
