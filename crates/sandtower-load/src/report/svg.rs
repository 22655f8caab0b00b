//! SVG without scripts, whose colours and patterns are the page's.

use std::fmt::{self, Display, Write as _};

use super::text::{Escaped, finite};

/// How wide every plot is in its own units, which on a phone are a little less than a CSS pixel each.
pub(super) const WIDTH: f64 = 360.0;

/// A picture under construction.
#[derive(Debug)]
pub(super) struct Svg {
    body: String,
    height: f64,
}

/// Where a text begins, or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn new(height: f64) -> Self {
        Self { body: String::new(), height }
    }

    /// A picture with a title and a description for screen readers; `id` is unique on the page.
    pub(super) fn finish(self, id: &str, title: &str, description: &str) -> String {
        let (title, description) = (Escaped(title), Escaped(description));
        let Self { body, height } = self;
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{title}</title>\n\
             <desc id=\"{id}-desc\">{description}</desc>\n{body}</svg>\n",
            At(height)
        )
    }

    /// Draws `draw` as a group, with a tooltip.
    pub(super) fn group(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        self.push(format_args!("<g><title>{}</title>", Escaped(title)));
        draw(self);
        self.push(format_args!("</g>\n"));
    }

    pub(super) fn rect(&mut self, class: &str, [x, y]: [f64; 2], [width, height]: [f64; 2]) {
        let (width, height) = (finite(width).max(0.0), finite(height).max(0.0));
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            At(x),
            At(y),
            At(width),
            At(height)
        ));
    }

    pub(super) fn circle(&mut self, class: &str, [x, y]: [f64; 2], radius: f64) {
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            At(x),
            At(y),
            At(radius)
        ));
    }

    pub(super) fn line(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) {
        self.path(class, &[from, to], false);
    }

    /// Through all points; nothing if there is none.
    pub(super) fn path(&mut self, class: &str, points: &[[f64; 2]], closed: bool) {
        let Some(([x, y], others)) = points.split_first() else { return };
        self.push(format_args!("<path class=\"{class}\" d=\"M{} {}", At(*x), At(*y)));
        for [x, y] in others {
            self.push(format_args!("L{} {}", At(*x), At(*y)));
        }
        self.push(format_args!("{}\"/>", if closed { "Z" } else { "" }));
    }

    pub(super) fn text(&mut self, class: &str, [x, y]: [f64; 2], anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
            At(x),
            At(y),
            Escaped(text)
        ));
    }

    fn push(&mut self, piece: fmt::Arguments<'_>) {
        // A `String` takes all that is written to it.
        let _ = self.body.write_fmt(piece);
    }
}

/// A coordinate, to a hundredth: the same text for the same data, and no `NaN` in it.
struct At(f64);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::text::number(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_title_and_a_description() {
        let mut svg = Svg::new(10.0);
        svg.path("mark", &[[0.0, 1.0 / 3.0], [2.0, 3.0]], true);
        let picture = svg.finish("x", "A & B", "what");
        assert!(picture.contains("viewBox=\"0 0 360 10\""), "{picture}");
        assert!(picture.contains("<title id=\"x-title\">A &amp; B</title>"), "{picture}");
        assert!(picture.contains("d=\"M0 0.33L2 3Z\""), "{picture}");
    }

    #[test]
    fn nan_does_not_break_a_picture() {
        let mut svg = Svg::new(10.0);
        svg.rect("mark", [f64::NAN, 0.0], [-1.0, f64::INFINITY]);
        svg.path("mark", &[], false);
        let picture = svg.finish("x", "", "");
        assert!(picture.contains("x=\"0\" y=\"0\" width=\"0\" height=\"0\""), "{picture}");
        assert!(!picture.contains("<path"), "{picture}");
    }
}
