use maud::{Markup, html};

use super::format::number;
use super::parts::{figure, more, nothing, whose};
use super::{Section, plot};
use crate::admin::State;
use crate::admin::board::{CreationCounts, Creations, Point};

const ROWS: usize = 60;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let creations = Creations::of(&state.board.core().stacks, ROWS);
    vec![
        ("figures", figures(&creations.all)),
        ("hour", hour(&state.board.series())),
        ("keys", keys(&creations)),
    ]
}

fn figures(all: &CreationCounts) -> Markup {
    let bad = |count: u64| if count > 0 { "critical" } else { "" };
    html! {
        h2 { "By outcome, since the start" }
        div.figures {
            (figure("started", &number(all.started), ""))
            (figure("succeeded", &number(all.succeeded), ""))
            (figure("failed for good", &number(all.failed), bad(all.failed)))
            (figure("attempts failed", &number(all.failed_attempts), ""))
            (figure("rejected by the queue", &number(all.rejected), bad(all.rejected)))
            (figure("found after a lost response", &number(all.adopted), ""))
            (figure("dead at their health check", &number(all.discarded), ""))
            (figure("orphans killed", &number(all.orphans_killed), ""))
        }
    }
}

fn hour(points: &[Point]) -> Markup {
    let rate = |read: fn(&Point) -> f32| points.iter().map(|it| read(it) / 5.0).collect::<Vec<_>>();
    let show = |it: f32| format!("{it:.1}/s");
    html! {
        h2 { "The last hour" }
        div.plots {
            (plot::line("started", &rate(|it| it.creations_started), "", show))
            (plot::line("succeeded", &rate(|it| it.creations_succeeded), "ok", show))
            (plot::line("failed for good", &rate(|it| it.creations_failed), "critical", show))
        }
    }
}

fn keys(creations: &Creations) -> Markup {
    html! {
        h2 { "By key" }
        @if creations.by_key.is_empty() {
            (nothing("No sandbox was created yet."))
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th { "whose" } th.number { "started" } th.number { "succeeded" } th.number { "failed" }
                        th.number { "rejected" } th.number { "orphans killed" }
                    } }
                    tbody {
                        @for row in &creations.by_key {
                            tr {
                                td { (whose(&row.whose)) }
                                td.number { (number(row.counts.started)) }
                                td.number { (number(row.counts.succeeded)) }
                                td.number.critical[row.counts.failed > 0] { (number(row.counts.failed)) }
                                td.number { (number(row.counts.rejected)) }
                                td.number { (number(row.counts.orphans_killed)) }
                            }
                        }
                    }
                }
            }
            (more(creations.more, "keys"))
        }
    }
}
