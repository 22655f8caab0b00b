use maud::{Markup, html};

use super::Section;
use super::format::{number, span_ms};
use super::parts::{more, nothing, whose};
use crate::admin::State;
use crate::admin::board::{QueueRow, Top, WaitingRow, rejected};

const ROWS: usize = 60;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let core = state.board.core();
    vec![
        ("waiting", waiting(&WaitingRow::all(&core.stacks, ROWS))),
        ("queues", queues(&QueueRow::all(&core.stacks, ROWS))),
    ]
}

fn waiting(all: &Top<WaitingRow>) -> Markup {
    html! {
        h2 { "Calls that wait, and what for" }
        @if all.rows.is_empty() {
            (nothing("No call waits."))
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th { "whose" } th { "operation" } th { "class" } th.number { "calls" }
                        th.number { "longest" } th { "why" }
                    } }
                    tbody {
                        @for row in &all.rows {
                            tr {
                                td { (whose(&row.whose)) @if let Some(tenant) = &row.tenant { " · " span { (tenant) } } }
                                td { (row.operation) }
                                td { (row.priority) }
                                td.number { (number(row.calls.into())) }
                                td.number { (span_ms(row.longest_ms / 100 * 100)) }
                                td.why { (row.why) }
                            }
                        }
                    }
                }
            }
            (more(all.more, "rows"))
        }
    }
}

fn queues(all: &Top<QueueRow>) -> Markup {
    html! {
        h2 { "Queues by operation" }
        @if all.rows.is_empty() {
            (nothing("No call has passed yet."))
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th { "whose" } th { "operation" } th.number { "in flight" } th.number { "waiting" }
                        th.number { "interactive" } th.number { "batch" } th.number { "background" }
                        th.number { "admitted" } th.number { "after a wait" } th.number { "rejected" } th.number { "left" }
                    } }
                    tbody { @for row in &all.rows { (queue(row)) } }
                }
            }
            (more(all.more, "queues"))
        }
    }
}

fn queue(row: &QueueRow) -> Markup {
    let queue = &row.queue;
    let [interactive, batch, background] = queue.waiting_by_priority;
    let rejected = rejected(queue);
    html! {
        tr {
            td { (whose(&row.whose)) }
            td { (queue.operation) }
            td.number { (number(queue.in_flight.into())) " of " (number(queue.limit.into())) }
            td.number.warning[queue.waiting > 0] { (number(queue.waiting.into())) }
            td.number { (number(interactive.into())) }
            td.number { (number(batch.into())) }
            td.number { (number(background.into())) }
            td.number { (number(queue.admitted)) }
            td.number { (number(queue.admitted_after_wait)) }
            td.number.critical[rejected > 0] title=(reasons(row)) { (number(rejected)) }
            td.number { (number(queue.left)) }
        }
    }
}

fn reasons(row: &QueueRow) -> String {
    let queue = &row.queue;
    format!(
        "queue full {}, too late {}, by a gate {}, by a rate {}, shutting down {}",
        queue.rejected_full,
        queue.rejected_late,
        queue.rejected_by_gate,
        queue.rejected_by_limit,
        queue.rejected_draining
    )
}
