use maud::{Markup, html};

use super::Section;
use super::format::utc;
use super::parts::nothing;
use crate::admin::State;
use crate::admin::audit::{Entry, Outcome};

const ROWS: usize = 100;

pub(super) fn sections(state: &State) -> Vec<Section> {
    vec![("audit", all(&state.audit.last(ROWS)))]
}

fn all(entries: &[Entry]) -> Markup {
    html! {
        p.muted { "Changes and denied requests, the newest first." }
        @if entries.is_empty() {
            (nothing("Nothing was changed since the start."))
        } @else {
            div.scroll {
                table.stack {
                    thead { tr { th { "when (UTC)" } th { "by" } th { "what" } th { "with" } th { "result" } } }
                    tbody { @for entry in entries { (one(entry)) } }
                }
            }
        }
    }
}

fn one(entry: &Entry) -> Markup {
    let class = match entry.result {
        Outcome::Done => "ok",
        Outcome::Failed => "warning",
        Outcome::Denied => "critical",
    };
    html! {
        tr {
            td { (utc(entry.time)) }
            td { (entry.actor) br; span.muted { (entry.peer.ip()) } }
            td.text { code { (entry.what) } }
            td.text { @if entry.parameters.as_object().is_some_and(|all| !all.is_empty()) { code { (entry.parameters) } } }
            td.text {
                span.pill.(class) { (entry.result.label()) } " " (entry.status)
                @if let Some(why) = &entry.why { br; (why) }
                @if entry.left_out > 0 { br; span.muted { (entry.left_out) " denied before it are left out" } }
            }
        }
    }
}
