use maud::{Markup, html};
use sandtower::circuit_breaker::State as BreakerState;

use super::format::{number, span_ms, span_s};
use super::parts::{button, more, named};
use super::{Section, plot};
use crate::admin::State;
use crate::admin::board::{BreakerRow, Top};

const ROWS: usize = 30;
/// Transitions of one breaker that are listed.
const TRANSITIONS: usize = 8;
const HOUR_MS: f64 = 3_600_000.0;

pub(super) fn sections(state: &State) -> Vec<Section> {
    vec![("breakers", all(&BreakerRow::all(&state.board.core().stacks, ROWS)))]
}

fn all(breakers: &Top<BreakerRow>) -> Markup {
    html! {
        @for row in &breakers.rows { (one(row)) }
        (more(breakers.more, "breakers, all of them closed"))
    }
}

fn one(row: &BreakerRow) -> Markup {
    let snapshot = &row.snapshot;
    let class = class(snapshot.state);
    html! {
        article.breaker.(class) {
            h2 {
                (named(&row.breaker, row.label.as_deref()))
                " " span.pill.(class) { (words(snapshot.state)) }
                @if snapshot.forced { " " span.pill.warning { "forced" } }
                @if snapshot.shadow { " " span.pill { "shadow mode" } }
            }
            (plot::strip(&spans(row), "its state within the last hour"))
            p {
                (snapshot.name) ": "
                @if let Some(ms) = row.not_closed_ms {
                    "not closed for " (span_ms(ms / 1_000 * 1_000)) ", "
                }
                (number(snapshot.recent_failures.into())) " of the last "
                (number(snapshot.recent_calls.into())) " calls failed"
                @if let Some(cause) = snapshot.last_cause { " (" (cause.label()) ")" }
                ", " (number(row.waiting.into())) " calls wait"
                @if let Some(retry) = snapshot.retry_in.filter(|it| !it.is_zero()) {
                    ", next probe in " (retry.as_secs_f64().ceil()) " s"
                }
                "."
            }
            (counters(row))
            (buttons(row))
            (history(row))
        }
    }
}

const fn class(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "ok",
        BreakerState::Open => "critical",
        BreakerState::HalfOpen => "warning",
    }
}

const fn words(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    }
}

fn counters(row: &BreakerRow) -> Markup {
    let counters = &row.snapshot.counters;
    html! {
        p.muted {
            "Since the start: " (number(counters.succeeded)) " succeeded, " (number(counters.failed))
            " failed, " (number(counters.throttled)) " throttled, " (number(counters.rejected))
            " rejected or held, " (number(counters.trips)) " trips."
        }
    }
}

fn buttons(row: &BreakerRow) -> Markup {
    let name = &row.breaker;
    let path = |action: &str| format!("/api/v1/breakers/{name}/{action}");
    let (is_closed, is_forced) = (row.snapshot.state == BreakerState::Closed, row.snapshot.forced);
    html! {
        div.buttons {
            @if !is_closed {
                (button("Let calls go", &path("reset"), &format!("Close the breaker of {name} now? All calls that wait go to E2B at once.")))
            }
            @if is_forced {
                (button("Release", &path("release"), &format!("Release the breaker of {name}? It decides by itself again.")))
            }
            @if !is_forced || is_closed {
                (button("Force open", &path("force_open"), &format!("Force the breaker of {name} open? It rejects or holds every call until it is released.")))
            }
            @if !is_forced || !is_closed {
                (button("Force closed", &path("force_closed"), &format!("Force the breaker of {name} closed? It lets every call through, however many fail, until it is released.")))
            }
        }
    }
}

/// The states of the last hour, as shares of it.
fn spans(row: &BreakerRow) -> Vec<(f64, f64, &'static str)> {
    let at = |ms: u128| (1.0 - ms as f64 / HOUR_MS).clamp(0.0, 1.0);
    let moves = row.history.iter().map(|moved| (at(moved.ago.as_millis()), moved.to));
    let mut spans = Vec::new();
    let first = row.history.first();
    // What was before the first that is kept is not known.
    let mut state = match first {
        Some(first) if first.number > 1 => "",
        Some(first) => class(first.from),
        None => class(row.snapshot.state),
    };
    let mut from = 0.0;
    for (when, to) in moves {
        spans.push((from, when, state));
        (from, state) = (when, class(to));
    }
    spans.push((from, 1.0, state));
    spans.retain(|(from, to, _)| to > from);
    spans
}

fn history(row: &BreakerRow) -> Markup {
    html! {
        @if !row.history.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "when" } th { "from" } th { "to" } th { "why" } th.number { "rejected before" } } }
                    tbody {
                        @for moved in row.history.iter().rev().take(TRANSITIONS) {
                            tr {
                                td { (span_s(moved.ago.as_secs())) " ago" }
                                td { (words(moved.from)) }
                                td { span.pill.(class(moved.to)) { (words(moved.to)) } }
                                td {
                                    @if moved.forced { "an operator" }
                                    @else if let Some(cause) = moved.cause.filter(|_| moved.failed > 0) {
                                        (moved.failed) " of " (moved.of) " failed (" (cause.label()) ")"
                                    }
                                }
                                td.number { (number(moved.rejected)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
