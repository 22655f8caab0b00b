use maud::{Markup, html};

use super::format::{number, span_s};
use super::parts::{more, nothing, whose};
use super::{Section, plot};
use crate::admin::State;
use crate::admin::board::{LimitRow, Top};

const ROWS: usize = 60;

pub(super) fn sections(state: &State) -> Vec<Section> {
    vec![("limits", all(&LimitRow::all(&state.board.core().stacks, ROWS)))]
}

fn all(limits: &Top<LimitRow>) -> Markup {
    html! {
        p.muted {
            "The line is at 80 %. A limit that is changed here stays until a restart, or a reload that \
             changes the stack's settings."
        }
        @if limits.rows.is_empty() {
            (nothing("No call has passed yet."))
        } @else {
            div.scroll {
                table.stack {
                    thead { tr {
                        th { "whose" } th { "limit" } th.bars { "used" } th.number { "" } th { "change" }
                    } }
                    tbody { @for row in &limits.rows { (one(row)) } }
                }
            }
            (more(limits.more, "limits, which are used less"))
        }
    }
}

fn one(row: &LimitRow) -> Markup {
    let what = match (row.kind, row.operation) {
        ("concurrency", Some(operation)) => format!("{operation}, in flight"),
        ("rate", Some(operation)) => {
            format!("{operation}, in {}", span_s(row.window_s.unwrap_or_default()))
        }
        _ => String::from("sandboxes"),
    };
    html! {
        tr {
            td { (whose(&row.whose)) }
            td { (what) }
            td.bars { (plot::bar(row.share)) }
            td.number { (number(row.used)) " of " (number(row.limit)) }
            td.act { @if row.operation.is_some() { (form(row, &what)) } @else { span.muted { "by the plan" } } }
        }
    }
}

fn form(row: &LimitRow, what: &str) -> Markup {
    let body = serde_json::json!({
        "stack": row.whose.stack, "operation": row.operation, "kind": row.kind,
    });
    let asks = format!(
        "Change the limit of {} ({what}) from {} to {{limit}}?",
        row.whose.shown(),
        row.limit
    );
    let half = (row.limit / 2).max(1);
    html! {
        form.change data-post="/api/v1/limits" data-body=(body) data-asks=(asks) {
            input type="number" name="limit" min="1" max="1000000" required value=(row.limit) aria-label={ "new limit of " (what) };
            button { "Set" }
            button.quiet type="button" data-fill=(half) title={ "set it to " (half) } { "Halve" }
        }
    }
}
