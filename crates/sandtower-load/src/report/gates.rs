//! The breaker, the limit and the queue over time.

use super::frame::{Frame, HEIGHT};
use super::legend::{Entry, Swatch};
use super::scale::Scale;
use super::slices::{Slice, slices};
use super::svg::{Anchor, Svg};
use super::text::{compact, duration, shortened};
use crate::PolicyReport;

const MOST: usize = 150;

/// The band of the breaker's states, above the curves.
const BAND_TOP: f64 = 30.0;
const BAND_HEIGHT: f64 = 14.0;
const TOP: f64 = BAND_TOP + BAND_HEIGHT + 10.0;

/// How wide a letter in the band may be.
const LETTER: f64 = 7.0;

pub(super) const LEGEND: [Entry; 6] = [
    Entry { label: "creations in flight", swatch: Swatch::Fill("in-flight") },
    Entry { label: "their limit", swatch: Swatch::Line("limit") },
    Entry { label: "queued calls", swatch: Swatch::Line("waiting") },
    Entry { label: "breaker closed", swatch: Swatch::Fill("breaker-closed") },
    Entry { label: "half-open", swatch: Swatch::Fill("breaker-half-open") },
    Entry { label: "open", swatch: Swatch::Fill("breaker-open") },
];

/// One axis for all policies, so that they can be compared.
pub(super) fn scale<'a>(policies: impl Iterator<Item = &'a PolicyReport>) -> Scale {
    let most = policies
        .flat_map(|policy| &policy.series)
        .map(|row| row.in_flight.max(row.waiting).max(row.limit.unwrap_or_default()))
        .max();
    Scale::counts(most.unwrap_or_default() as f64, true)
}

/// A band for the breaker, an area for the calls in flight, lines for the limit and the queue.
pub(super) fn plot(policy: &PolicyReport, id: &str, time: &Scale, up: &Scale) -> String {
    let mut svg = Svg::new(HEIGHT);
    let frame = Frame { time, up, top: TOP };
    frame.draw(&mut svg, "count; above it the breaker", compact);
    let slices = slices(&policy.series, MOST);
    let stretches = stretches(policy);
    for stretch in &stretches {
        svg.group(&stretch.label(), |svg| stretch.draw(svg, &frame));
    }
    if stretches.is_empty() && !slices.is_empty() {
        let at = [frame.x(0.0), BAND_TOP + BAND_HEIGHT - 3.0];
        svg.text("nothing", at, Anchor::Start, "no breaker");
    }
    for mut line in frame.steps(&slices, |slice| Some(slice.row.in_flight as f64)) {
        if let (Some([first, _]), Some([last, _])) = (line.first().copied(), line.last().copied()) {
            line.extend([[last, frame.y(0.0)], [first, frame.y(0.0)]]);
        }
        svg.path("mark in-flight", &line, true);
    }
    for line in frame.steps(&slices, |slice| slice.row.limit.map(|limit| limit as f64)) {
        svg.path("mark limit", &line, false);
    }
    for line in frame.steps(&slices, |slice| Some(slice.row.waiting as f64)) {
        svg.path("mark waiting", &line, false);
    }
    if slices.is_empty() {
        frame.nothing(&mut svg, "there were no calls");
    }
    let title = format!("{}: breaker, limit and queue over time", policy.median.policy);
    svg.finish(id, &title, &described(&slices, &stretches))
}

/// A stretch of time with one state of the breaker.
#[derive(Debug, PartialEq)]
struct Stretch {
    state: String,
    from_s: f64,
    to_s: f64,
}

impl Stretch {
    fn label(&self) -> String {
        let Self { state, from_s, to_s } = self;
        let (from, to) = (duration(from_s * 1e3), duration(to_s * 1e3));
        format!("breaker {} from {from} to {to}", spoken(state))
    }

    fn draw(&self, svg: &mut Svg, frame: &Frame<'_>) {
        let class = match self.state.as_str() {
            "closed" => "breaker-closed",
            "half_open" => "breaker-half-open",
            "open" => "breaker-open",
            _ => "breaker-other",
        };
        let (left, right) = (frame.x(self.from_s), frame.x(self.to_s));
        svg.rect(&format!("mark {class}"), [left, BAND_TOP], [right - left, BAND_HEIGHT]);
        let word = spoken(&self.state);
        if word.chars().count() as f64 * LETTER + 4.0 <= right - left {
            let at = [(left + right) / 2.0, BAND_TOP + BAND_HEIGHT - 3.0];
            svg.text(&format!("{class}-word"), at, Anchor::Middle, &word);
        }
    }
}

/// Every change is kept, however many rows there are.
fn stretches(policy: &PolicyReport) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for Slice { row, end_s } in slices(&policy.series, usize::MAX) {
        let Some(state) = row.breaker else { continue };
        match stretches.last_mut() {
            Some(last) if last.state == state && last.to_s == row.t_s => last.to_s = end_s,
            _ => stretches.push(Stretch { state, from_s: row.t_s, to_s: end_s }),
        }
    }
    stretches
}

fn spoken(state: &str) -> String {
    shortened(&state.replace('_', "-"), 20)
}

fn described(slices: &[Slice], stretches: &[Stretch]) -> String {
    let most = |count: fn(&Slice) -> u64| slices.iter().map(count).max().unwrap_or_default();
    let open: f64 = stretches
        .iter()
        .filter(|stretch| stretch.state == "open")
        .map(|stretch| stretch.to_s - stretch.from_s)
        .sum();
    let breaker = match stretches {
        [] => "There was no breaker.".to_owned(),
        _ if open == 0.0 => "The breaker was never seen open.".to_owned(),
        _ => format!("The breaker was open for {}.", duration(open * 1e3)),
    };
    format!(
        "At most {} creations in flight and {} queued calls. {breaker}",
        most(|slice| slice.row.in_flight),
        most(|slice| slice.row.waiting),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    fn seen(states: &[Option<&str>]) -> PolicyReport {
        let row = |(at, state): (usize, &Option<&str>)| Row {
            t_s: at as f64,
            breaker: state.map(str::to_owned),
            ..Row::default()
        };
        PolicyReport { series: states.iter().enumerate().map(row).collect(), ..Default::default() }
    }

    #[test]
    fn a_state_is_one_stretch_as_long_as_it_lasts() {
        let states = [Some("closed"), Some("closed"), Some("open"), None, Some("open")];
        let stretches = stretches(&seen(&states));
        let labels: Vec<_> = stretches.iter().map(Stretch::label).collect();
        assert_eq!(
            labels,
            [
                "breaker closed from 0 s to 2 s",
                "breaker open from 2 s to 3 s",
                "breaker open from 4 s to 5 s"
            ]
        );
    }

    #[test]
    fn a_short_opening_is_drawn_among_ten_thousand_rows() {
        let mut states = vec![Some("closed"); 10_000];
        states[5_000] = Some("open");
        let (time, up) = (Scale::time(10_000.0), Scale::counts(1.0, true));
        let picture = plot(&seen(&states), "x", &time, &up);
        assert_eq!(picture.matches("mark breaker-open\"").count(), 1);
        assert_eq!(picture.matches("mark breaker-closed\"").count(), 2);
    }
}
