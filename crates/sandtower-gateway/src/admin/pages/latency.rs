use maud::{Markup, html};

use super::Section;
use super::format::{number, seconds};
use super::parts::nothing;
use crate::admin::State;
use crate::admin::board::StageLatency;

pub(super) fn sections(state: &State) -> Vec<Section> {
    vec![("latency", all(&state.board.latency()))]
}

fn all(rows: &[StageLatency]) -> Markup {
    let slowest = rows.iter().map(|row| row.p95_s).fold(0.0, f64::max).max(0.001);
    html! {
        p.muted {
            "Of the last five minutes. A call is made of attempts, waits in the queue, waits before \
             retries, and health checks. Quantiles are upper bounds of buckets."
        }
        @if rows.is_empty() {
            (nothing("No call has ended within the last five minutes."))
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th { "group" } th { "stage" } th.number { "calls" } th.number { "mean" }
                        th.number { "p50" } th.number { "p95" } th.number { "p99" } th.bars { "p95" }
                    } }
                    tbody {
                        @for row in rows {
                            tr.whole[row.stage == "call"] {
                                td { (row.group) }
                                td { (row.stage) }
                                td.number { (number(row.count)) }
                                td.number { (seconds(row.mean_s)) }
                                td.number { "≤ " (seconds(row.p50_s)) }
                                td.number { "≤ " (seconds(row.p95_s)) }
                                td.number { "≤ " (seconds(row.p99_s)) }
                                td.bars { (share(row.p95_s / slowest)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn share(share: f64) -> Markup {
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.filled width=(format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)) height="8" {}
        }
    }
}
