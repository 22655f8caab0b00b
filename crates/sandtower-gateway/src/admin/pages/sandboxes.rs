use maud::{Markup, html};

use super::Section;
use super::format::{ago_ms, number, span_ms};
use super::parts::{button, figure, more, nothing, whose_or_unknown};
use crate::admin::State;
use crate::admin::board::Sandboxes;

const ROWS: usize = 100;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let core = state.board.core();
    let sandboxes = Sandboxes::of(state.board.gateway(), &core.stacks, ROWS);
    vec![
        ("orphans", orphans(&sandboxes)),
        ("owners", owners(&sandboxes)),
        ("sandboxes", oldest(&sandboxes)),
    ]
}

fn orphans(sandboxes: &Sandboxes) -> Markup {
    let orphans = &sandboxes.orphans;
    let abandoned = if orphans.abandoned > 0 { "critical" } else { "" };
    html! {
        h2 { "Orphans" }
        div.figures {
            (figure("attempts whose result is open", &number(orphans.open), ""))
            (figure("being killed", &number(orphans.killing), ""))
            (figure("killed", &number(orphans.killed), ""))
            (figure("given up", &number(orphans.abandoned), abandoned))
        }
        @if !orphans.last_abandoned.is_empty() {
            p { "Given up last; E2B ends them when their time is over: "
                @for name in &orphans.last_abandoned { code.id { (name) } " " } }
        }
    }
}

fn owners(sandboxes: &Sandboxes) -> Markup {
    html! {
        @if !sandboxes.by_key.rows.is_empty() {
            h2 { "By key" }
            div.scroll {
                table {
                    thead { tr { th { "whose" } th.number { "sandboxes" } } }
                    tbody {
                        @for row in &sandboxes.by_key.rows {
                            tr {
                                td { (whose_or_unknown(row.whose.as_ref())) }
                                td.number { (number(row.sandboxes as u64)) }
                            }
                        }
                    }
                }
            }
            (more(sandboxes.by_key.more, "keys"))
        }
    }
}

fn oldest(sandboxes: &Sandboxes) -> Markup {
    html! {
        h2 { "Those known for longest" }
        @if sandboxes.oldest.rows.is_empty() {
            (nothing("No sandbox has passed the gateway since its start."))
        } @else {
            div.scroll {
                table.stack {
                    thead { tr {
                        th { "sandbox" } th { "whose" } th { "template" } th.number { "known for" }
                        th.number { "used" } th {}
                    } }
                    tbody {
                        @for row in &sandboxes.oldest.rows {
                            tr {
                                td {
                                    code.id { (row.id) }
                                    @if let Some(place) = &row.place { " at " (place) }
                                }
                                td { (whose_or_unknown(row.whose.as_ref())) }
                                td.text { (row.template.as_deref().unwrap_or_default()) }
                                td.number { (span_ms(row.known_ms / 10_000 * 10_000)) }
                                td.number { (ago_ms(row.unused_ms)) }
                                td.act {
                                    @if row.whose.is_some() {
                                        (button("Kill", &format!("/api/v1/sandboxes/{}/kill", row.id), &format!("Kill the sandbox {}? What runs in it is lost.", row.id)))
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (more(sandboxes.oldest.more, "sandboxes"))
        }
    }
}
