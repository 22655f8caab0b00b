//! Offered load and its outcome over time.

use super::frame::{Frame, HEIGHT};
use super::legend::{Entry, Swatch};
use super::scale::Scale;
use super::slices::{Slice, slices_of};
use super::svg::Svg;
use super::text::{compact, counted, duration, number};
use crate::PolicyReport;

/// How many bars there may be along the axis; more are too thin to have a pattern.
const BARS: f64 = 50.0;

pub(super) const LEGEND: [Entry; 4] = [
    Entry { label: "offered", swatch: Swatch::Line("offered") },
    Entry { label: "succeeded", swatch: Swatch::Fill("succeeded") },
    Entry { label: "rejected", swatch: Swatch::Fill("rejected") },
    Entry { label: "failed", swatch: Swatch::Fill("failed") },
];

/// The axis of all policies, and its unit.
#[derive(Debug)]
pub(super) struct Rates {
    scale: Scale,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Second,
    Minute,
}

impl Unit {
    fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Second => "calls a second",
            Self::Minute => "calls a minute",
        }
    }
}

/// One axis for all policies, so that they can be compared.
pub(super) fn rates<'a>(policies: impl Iterator<Item = &'a PolicyReport>, time: &Scale) -> Rates {
    let most = policies
        .flat_map(|policy| slices_of(&policy.series, time.end() / BARS))
        .map(|slice| a_second(slice.ended().max(slice.row.offered), &slice, time))
        .fold(0.0, f64::max);
    let unit = if most < 1.0 { Unit::Minute } else { Unit::Second };
    Rates { scale: Scale::counts(most * unit.seconds(), false), unit }
}

/// A bar for the calls that ended in each slice, by outcome; a line over the offered load.
pub(super) fn plot(policy: &PolicyReport, id: &str, time: &Scale, rates: &Rates) -> String {
    let mut svg = Svg::new(HEIGHT);
    let frame = Frame { time, up: &rates.scale, top: 24.0 };
    frame.draw(&mut svg, rates.unit.words(), compact);
    let slices = slices_of(&policy.series, time.end() / BARS);
    let rate = |count, slice: &Slice| a_second(count, slice, time) * rates.unit.seconds();
    for slice in slices.iter().filter(|slice| slice.ended() > 0) {
        svg.group(&label(slice), |svg| bar(svg, &frame, slice, |count| rate(count, slice)));
    }
    for line in frame.steps(&slices, |slice| Some(rate(slice.row.offered, slice))) {
        svg.path("mark offered", &line, false);
    }
    if slices.iter().all(|slice| slice.ended() == 0 && slice.row.offered == 0) {
        frame.nothing(&mut svg, "there were no calls");
    }
    let title = format!("{}: goodput against offered load", policy.median.policy);
    svg.finish(id, &title, &described(&slices))
}

/// The last slice may be short: one call in it is not a peak.
fn a_second(count: u64, slice: &Slice, time: &Scale) -> f64 {
    count as f64 / slice.length_s().max(time.end() / BARS)
}

fn bar(svg: &mut Svg, frame: &Frame<'_>, slice: &Slice, rate: impl Fn(u64) -> f64) {
    let row = &slice.row;
    let (left, right) = (frame.x(row.t_s), frame.x(slice.end_s));
    // A gap between bars, as long as they are wide enough for it.
    let gap = ((right - left) * 0.2).min(1.0);
    let mut below = 0_u64;
    let stack = [("succeeded", row.succeeded), ("rejected", row.rejected), ("failed", row.failed)];
    for (class, count) in stack.into_iter().filter(|(_, count)| *count > 0) {
        let (bottom, top) = (frame.y(rate(below)), frame.y(rate(below.saturating_add(count))));
        svg.rect(&format!("mark {class}"), [left, top], [right - left - gap, bottom - top]);
        below = below.saturating_add(count);
    }
}

fn label(slice: &Slice) -> String {
    let row = &slice.row;
    format!(
        "{} to {}: {} offered, {} succeeded, {} rejected, {} failed",
        duration(row.t_s * 1e3),
        duration(slice.end_s * 1e3),
        row.offered,
        row.succeeded,
        row.rejected,
        row.failed,
    )
}

fn described(slices: &[Slice]) -> String {
    let sum =
        |count: fn(&Slice) -> u64| slices.iter().map(|slice| count(slice) as f64).sum::<f64>();
    format!(
        "{} offered; {} succeeded, {} were rejected, {} failed.",
        counted(sum(|slice| slice.row.offered), "call was", "calls were"),
        number(sum(|slice| slice.row.succeeded)),
        number(sum(|slice| slice.row.rejected)),
        number(sum(|slice| slice.row.failed)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn a_bar_is_a_stack_as_high_as_all_that_ended() {
        let series =
            vec![Row { offered: 8, succeeded: 4, rejected: 2, failed: 2, ..Row::default() }];
        let policy = PolicyReport { series, ..PolicyReport::default() };
        let time = Scale::time(1.0);
        let rates = rates([&policy].into_iter(), &time);
        assert_eq!(rates.unit, Unit::Second);
        let picture = plot(&policy, "x", &time, &rates);
        // From 24 to 178, 8 a second: a call is 19.25 high.
        for piece in [
            "succeeded\" x=\"46\" y=\"101\" width=\"305\" height=\"77\"",
            "rejected\" x=\"46\" y=\"62.5\" width=\"305\" height=\"38.5\"",
            "failed\" x=\"46\" y=\"24\" width=\"305\" height=\"38.5\"",
            "offered\" d=\"M46 24L352 24\"",
        ] {
            assert!(picture.contains(piece), "{piece} in {picture}");
        }
    }

    #[test]
    fn a_call_in_the_short_rest_of_a_run_is_no_peak() {
        let row = |t_s| Row { t_s, succeeded: 1, ..Row::default() };
        let series: Vec<_> = (0..101).map(|at| row(f64::from(at))).collect();
        let policy = PolicyReport { series, ..PolicyReport::default() };
        let rates = rates([&policy].into_iter(), &Scale::time(1_000.0));
        assert_eq!((rates.unit, rates.scale.end()), (Unit::Second, 1.0));
    }

    #[test]
    fn rare_calls_are_counted_by_the_minute() {
        let row = |t_s| Row { t_s, succeeded: 1, ..Row::default() };
        let policy = PolicyReport { series: vec![row(0.0), row(30.0)], ..PolicyReport::default() };
        let rates = rates([&policy].into_iter(), &Scale::time(60.0));
        assert_eq!((rates.unit, rates.scale.end()), (Unit::Minute, 2.0));
    }
}
