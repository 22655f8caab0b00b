//! The frame of a plot over time: its axes, and the position of a value.

use super::scale::{Scale, time_tick};
use super::slices::Slice;
use super::svg::{Anchor, Svg, WIDTH};

/// The height of a plot.
pub(super) const HEIGHT: f64 = 200.0;

/// The plot's own area in its picture.
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 8.0;
const BOTTOM: f64 = HEIGHT - 22.0;

/// How wide half a label of a tick may be.
const HALF_LABEL: f64 = 20.0;

/// Two axes: time to the right, a value upwards.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) time: &'a Scale,
    pub(super) up: &'a Scale,
    /// The space above is for marks other than curves.
    pub(super) top: f64,
}

impl Frame<'_> {
    /// The position of `value` at `seconds`.
    pub(super) fn at(&self, seconds: f64, value: f64) -> [f64; 2] {
        [self.x(seconds), self.y(value)]
    }

    pub(super) fn x(&self, seconds: f64) -> f64 {
        LEFT + self.time.place(seconds) * (RIGHT - LEFT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        BOTTOM - self.up.place(value) * (BOTTOM - self.top)
    }

    /// Draws the axes: the name of the value, and its ticks with labels from `label`.
    pub(super) fn draw(&self, svg: &mut Svg, words: &str, label: impl Fn(f64) -> String) {
        svg.text("axis", [0.0, 11.0], Anchor::Start, words);
        for tick in self.up.ticks() {
            let y = self.y(*tick);
            svg.line("grid", [LEFT, y], [RIGHT, y]);
            svg.text("tick", [LEFT - 5.0, y + 4.0], Anchor::End, &label(*tick));
        }
        svg.line("base", [LEFT, BOTTOM], [RIGHT, BOTTOM]);
        for tick in self.time.ticks() {
            let x = self.x(*tick);
            svg.line("base", [x, BOTTOM], [x, BOTTOM + 4.0]);
            // The last label ends with the plot, so that it is not cut off.
            let (x, anchor) = match x + HALF_LABEL > WIDTH {
                true => (WIDTH, Anchor::End),
                false => (x, Anchor::Middle),
            };
            let label = time_tick(*tick, self.time.end());
            svg.text("tick", [x, HEIGHT - 5.0], anchor, &label);
        }
    }

    /// Writes into the middle of the plot why it is empty.
    pub(super) fn nothing(&self, svg: &mut Svg, why: &str) {
        let middle = [(LEFT + RIGHT) / 2.0, (self.top + BOTTOM) / 2.0];
        svg.text("nothing", middle, Anchor::Middle, why);
    }

    /// A value that is constant within each slice, as lines without slopes; one line for each stretch in
    /// which it is known.
    pub(super) fn steps(
        &self,
        slices: &[Slice],
        value: impl Fn(&Slice) -> Option<f64>,
    ) -> Vec<Vec<[f64; 2]>> {
        let mut stretches: Vec<Vec<[f64; 2]>> = vec![Vec::new()];
        for slice in slices {
            match (value(slice), stretches.last_mut()) {
                (Some(value), Some(points)) => {
                    points.push(self.at(slice.row.t_s, value));
                    points.push(self.at(slice.end_s, value));
                }
                _ => stretches.push(Vec::new()),
            }
        }
        stretches.retain(|points| !points.is_empty());
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    fn slice(t_s: f64, limit: Option<u64>) -> Slice {
        Slice { row: Row { t_s, limit, ..Row::default() }, end_s: t_s + 1.0 }
    }

    #[test]
    fn a_line_breaks_where_its_value_is_not_known() {
        let (time, up) = (Scale::time(4.0), Scale::counts(4.0, true));
        let frame = Frame { time: &time, up: &up, top: 20.0 };
        let slices =
            [slice(0.0, Some(1)), slice(1.0, Some(2)), slice(2.0, None), slice(3.0, Some(4))];
        let lines = frame.steps(&slices, |slice| slice.row.limit.map(|limit| limit as f64));
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(lines[1][1], [RIGHT, 20.0]);
    }

    #[test]
    fn every_tick_has_its_label_inside_the_picture() {
        let (time, up) = (Scale::time(100.0), Scale::counts(7.0, true));
        let mut svg = Svg::new(HEIGHT);
        Frame { time: &time, up: &up, top: 20.0 }.draw(&mut svg, "calls", |tick| tick.to_string());
        let picture = svg.finish("x", "", "");
        assert_eq!(
            picture.matches("class=\"tick\"").count(),
            time.ticks().len() + up.ticks().len()
        );
        assert!(picture.contains("x=\"360\" y=\"195\" text-anchor=\"end\">100 s"), "{picture}");
    }
}
