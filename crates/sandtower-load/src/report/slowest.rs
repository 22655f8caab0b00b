//! Where the time of the slowest calls went.

use super::legend::{Entry, Swatch};
use super::scale::{Scale, time_tick};
use super::svg::{Anchor, Svg, WIDTH};
use super::text::{duration, finite, share, shortened};
use crate::{Part, PolicyReport, SlowCall};

/// The slowest of all are enough.
const MOST: usize = 12;

const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 4.0;
const ROW: f64 = 34.0;
const BAR: f64 = 12.0;
const AXIS: f64 = 24.0;

/// Letters that fit on a line of the plot.
const LETTERS: usize = 48;

/// The legend of the parts that occur, in their order.
pub(super) fn legend<'a>(policies: impl Iterator<Item = &'a PolicyReport>) -> Vec<Entry> {
    let used: Vec<_> = policies
        .flat_map(shown)
        .flat_map(|call| &call.parts)
        .filter(|spent| spent.ms > 0.0)
        .map(|spent| spent.what)
        .collect();
    let parts = Part::ALL.into_iter().filter(|part| used.contains(part));
    parts.map(|part| Entry { label: part.label(), swatch: Swatch::Fill(class(part)) }).collect()
}

/// A bar for each call, from its start to its end, in segments by kind of work.
pub(super) fn plot(policy: &PolicyReport, id: &str) -> String {
    let calls = shown(policy);
    let longest =
        calls.iter().map(|call| finite(call.took_ms).max(total(call))).fold(0.0, f64::max);
    let time = &Scale::time(longest / 1e3);
    let bottom = TOP + ROW * calls.len().max(2) as f64;
    let mut svg = Svg::new(bottom + AXIS);
    axis(&mut svg, time, bottom);
    for (at, call) in calls.iter().enumerate() {
        let top = TOP + ROW * at as f64;
        let short = shortened(&label(call), LETTERS);
        svg.group(&format!("{}: {}", label(call), parts_label(call)), |svg| {
            svg.text("tick", [0.0, top + 12.0], Anchor::Start, &short);
            bar(svg, time, call, top + 17.0);
        });
    }
    if calls.is_empty() {
        svg.text("nothing", [WIDTH / 2.0, bottom / 2.0], Anchor::Middle, "no call ended");
    }
    let title = format!("{}: where the time of the slowest calls went", policy.median.policy);
    svg.finish(id, &title, &described(calls))
}

fn shown(policy: &PolicyReport) -> &[SlowCall] {
    policy.slowest.get(..MOST).unwrap_or(&policy.slowest)
}

fn total(call: &SlowCall) -> f64 {
    call.parts.iter().map(|spent| finite(spent.ms).max(0.0)).sum()
}

fn axis(svg: &mut Svg, time: &Scale, bottom: f64) {
    svg.line("base", [0.0, bottom], [RIGHT, bottom]);
    for tick in time.ticks() {
        let x = time.place(*tick) * RIGHT;
        svg.line("grid", [x, TOP], [x, bottom]);
        let (x, anchor) = match x {
            _ if x < 20.0 => (0.0, Anchor::Start),
            _ if x + 20.0 > WIDTH => (WIDTH, Anchor::End),
            _ => (x, Anchor::Middle),
        };
        svg.text("tick", [x, bottom + 17.0], anchor, &time_tick(*tick, time.end()));
    }
}

fn bar(svg: &mut Svg, time: &Scale, call: &SlowCall, top: f64) {
    let x = |ms: f64| time.place(ms / 1e3) * RIGHT;
    svg.rect("mark whole", [0.0, top], [x(call.took_ms), BAR]);
    let mut since = 0.0;
    for spent in call.parts.iter().filter(|spent| spent.ms > 0.0 && spent.ms.is_finite()) {
        let (from, to) = (x(since), x(since + spent.ms));
        svg.rect(&format!("mark {}", class(spent.what)), [from, top], [to - from, BAR]);
        since += spent.ms;
    }
}

fn label(call: &SlowCall) -> String {
    let (took, start) = (duration(call.took_ms), duration(call.start_ms));
    format!("{took}, from {start} on: {}", call.outcome)
}

/// Its segments, those of a kind together.
fn parts_label(call: &SlowCall) -> String {
    let spent_on = |part: Part| -> f64 {
        call.parts.iter().filter(|spent| spent.what == part).map(|spent| finite(spent.ms)).sum()
    };
    let parts: Vec<_> = Part::ALL
        .into_iter()
        .filter(|part| spent_on(*part) > 0.0)
        .map(|part| format!("{} {}", duration(spent_on(part)), part.label()))
        .collect();
    if parts.is_empty() { "no details".to_owned() } else { parts.join(", ") }
}

fn described(calls: &[SlowCall]) -> String {
    let Some(slowest) = calls.first() else { return "No call ended.".to_owned() };
    let all: f64 = calls.iter().map(total).sum();
    let spent_on = |part: Part| -> f64 {
        let spent = calls.iter().flat_map(|call| &call.parts);
        spent.filter(|spent| spent.what == part).map(|spent| finite(spent.ms)).sum()
    };
    let shares: Vec<_> = Part::ALL
        .into_iter()
        .filter(|part| spent_on(*part) > 0.0)
        .map(|part| format!("{:.0} % {}", share(spent_on(part), all) * 100.0, part.label()))
        .collect();
    format!("The slowest took {}. Of all shown: {}.", duration(slowest.took_ms), shares.join(", "))
}

fn class(part: Part) -> &'static str {
    match part {
        Part::Thinking => "thinking",
        Part::Queued => "queued",
        Part::Attempt => "attempt",
        Part::Backoff => "backoff",
        Part::Check => "check",
        Part::Running => "running",
        Part::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spent;

    fn call(parts: &[(Part, f64)]) -> SlowCall {
        let parts: Vec<_> = parts.iter().map(|&(what, ms)| Spent { what, ms }).collect();
        let took_ms = parts.iter().map(|spent| spent.ms).sum();
        SlowCall { took_ms, outcome: "succeeded".into(), parts, ..SlowCall::default() }
    }

    fn policy(slowest: Vec<SlowCall>) -> PolicyReport {
        PolicyReport { slowest, ..PolicyReport::default() }
    }

    #[test]
    fn a_bar_is_as_long_as_its_call_and_its_pieces_follow_each_other() {
        let pieces = [(Part::Queued, 6e3), (Part::Attempt, 3e3), (Part::Backoff, 1e3)];
        let picture = plot(&policy(vec![call(&pieces)]), "x");
        for piece in [
            "whole\" x=\"0\" y=\"21\" width=\"352\"",
            "queued\" x=\"0\" y=\"21\" width=\"211.2\"",
            "attempt\" x=\"211.2\" y=\"21\" width=\"105.6\"",
            "backoff\" x=\"316.8\" y=\"21\" width=\"35.2\"",
        ] {
            assert!(picture.contains(piece), "{piece} in {picture}");
        }
    }

    #[test]
    fn segments_of_a_kind_are_summed() {
        let twice = call(&[(Part::Attempt, 1e3), (Part::Backoff, 2e3), (Part::Attempt, 1e3)]);
        assert_eq!(parts_label(&twice), "2 s attempt, 2 s backoff");
        assert_eq!(parts_label(&call(&[])), "no details");
    }

    #[test]
    fn only_parts_that_occur_are_in_the_legend() {
        let policy =
            policy(vec![call(&[(Part::Check, 1.0), (Part::Queued, 1.0), (Part::Other, 0.0)])]);
        let labels: Vec<_> =
            legend([&policy].into_iter()).iter().map(|entry| entry.label).collect();
        assert_eq!(labels, ["queued", "check"]);
    }

    #[test]
    fn many_slow_calls_are_cut_to_the_slowest() {
        let policy = policy(vec![call(&[(Part::Attempt, 1e3)]); 500]);
        let picture = plot(&policy, "x");
        assert_eq!(picture.matches("mark whole").count(), MOST);
    }
}
