//! What several pages have.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::format::number;
use crate::admin::board::{DATA_PLANE, Whose};

/// Whose something is: its name, or an id to be copied as a whole.
pub(super) fn whose(whose: &Whose) -> Markup {
    named(&whose.stack, whose.label.as_deref())
}

pub(super) fn named(stack: &str, label: Option<&str>) -> Markup {
    match (stack, label) {
        (DATA_PLANE, _) => html! { span title=(stack) { "all sandboxes" } },
        (_, Some(label)) => html! { span.label title=(stack) { (label) } },
        (_, None) => html! { code.id title=(stack) { (stack) } },
    }
}

pub(super) fn whose_or_unknown(it: Option<&Whose>) -> Markup {
    it.map_or_else(|| html! { span.muted { "unknown" } }, whose)
}

/// A button that requests a change, after it has asked.
pub(super) fn button(label: &str, path: &str, asks: &str) -> Markup {
    button_with(label, path, asks, &json!({}))
}

pub(super) fn button_with(label: &str, path: &str, asks: &str, body: &Value) -> Markup {
    html! {
        button type="button" data-post=(path) data-body=(body) data-asks=(asks) { (label) }
    }
}

/// How many rows are not shown.
pub(super) fn more(rest: usize, what: &str) -> Markup {
    html! {
        @if rest > 0 { p.muted { "and " (number(rest as u64)) " more " (what) } }
    }
}

pub(super) fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}

/// A number with its name.
pub(super) fn figure(name: &str, value: &str, class: &str) -> Markup {
    html! { div.figure.(class) { span.value { (value) } span.name { (name) } } }
}
