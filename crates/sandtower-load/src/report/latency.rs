//! How long calls took, over time.

use super::frame::{Frame, HEIGHT};
use super::legend::{Entry, Swatch};
use super::scale::Scale;
use super::slices::{Slice, slices};
use super::svg::Svg;
use super::text::{counted, duration};
use crate::{PolicyReport, Row};

/// More slices than this cannot be told apart.
const MOST: usize = 120;

pub(super) const LEGEND: [Entry; 3] = [
    Entry { label: "p50", swatch: Swatch::Dot("p50") },
    Entry { label: "p99", swatch: Swatch::Line("p99") },
    Entry { label: "slowest", swatch: Swatch::Ring("slowest") },
];

/// One axis for all policies, so that they compare.
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
        svg.group(&told(slice), |svg| marks(svg, &frame, slice));
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

fn told(slice: &Slice) -> String {
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
