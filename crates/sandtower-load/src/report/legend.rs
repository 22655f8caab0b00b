//! The legend of a plot.

use super::text::Escaped;

/// One kind of mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) label: &'static str,
    pub(super) swatch: Swatch,
}

/// A sample of a mark, by its CSS class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Swatch {
    Fill(&'static str),
    Line(&'static str),
    Dot(&'static str),
    Ring(&'static str),
}

/// The legend above the plots of one kind.
pub(super) fn legend(entries: &[Entry]) -> String {
    let items: String = entries
        .iter()
        .map(|Entry { label, swatch }| format!("<li>{}{}</li>\n", swatch.picture(), Escaped(label)))
        .collect();
    format!("<ul class=\"legend\">\n{items}</ul>\n")
}

impl Swatch {
    fn picture(self) -> String {
        let shape = match self {
            Self::Fill(class) => {
                format!("<rect class=\"{class}\" x=\"1\" y=\"1\" width=\"18\" height=\"10\"/>")
            }
            Self::Line(class) => format!("<path class=\"{class}\" d=\"M1 6L19 6\"/>"),
            Self::Dot(class) => format!("<circle class=\"{class}\" cx=\"10\" cy=\"6\" r=\"3\"/>"),
            Self::Ring(class) => format!("<circle class=\"{class}\" cx=\"10\" cy=\"6\" r=\"4\"/>"),
        };
        format!("<svg class=\"swatch\" viewBox=\"0 0 20 12\" aria-hidden=\"true\">{shape}</svg>")
    }
}
