use maud::{Markup, html};

use super::format::{number, span_s};
use super::parts::{button_with, figure, nothing};
use super::{Section, plot};
use crate::admin::State;
use crate::admin::board::{Action, Core, Point, Problem, Target};

pub(super) fn sections(state: &State) -> Vec<Section> {
    let core = state.board.core();
    vec![
        ("problems", problems(&core.problems)),
        ("alerts", super::alerts::brief(state.board.gateway(), &state.board.watch().alerts())),
        ("figures", figures(&core)),
        ("hour", hour(&state.board.series())),
        ("process", process(&core)),
    ]
}

fn problems(all: &[Problem]) -> Markup {
    html! {
        @if all.is_empty() {
            (nothing("Nothing is wrong. Calls pass, and no limit is nearly used up."))
        }
        @for problem in all { (card(problem)) }
    }
}

pub(super) fn card(problem: &Problem) -> Markup {
    let since = problem.since.map_or(0, |since| since.as_secs());
    html! {
        article.problem.(problem.severity.label()) {
            h2 { (problem.what) }
            dl {
                dt { "for" } dd { (problem.whom) }
                dt { "since" } dd { @if since == 0 { "just now" } @else { (span_s(since)) } }
                dt { "gateway" } dd { (problem.does) }
            }
            @if !problem.press.is_empty() {
                div.buttons { @for action in &problem.press { (act(action)) } }
            }
        }
    }
}

fn act(action: &Action) -> Markup {
    match &action.target {
        Target::Post { path, body, asks } => button_with(action.label, path, asks, body),
        Target::Page(path) => html! { a.button.quiet href=(path) { (action.label) } },
    }
}

fn figures(core: &Core) -> Markup {
    let totals = &core.totals;
    let open = if totals.breakers_not_closed > 0 { "critical" } else { "" };
    let waiting = if totals.waiting > 0 { "warning" } else { "" };
    html! {
        div.figures {
            (figure("requests in flight", &number(totals.in_flight as u64), ""))
            (figure("calls wait", &number(totals.waiting), waiting))
            (figure("breakers not closed", &number(totals.breakers_not_closed as u64), open))
            (figure("sandboxes known", &number(totals.sandboxes as u64), ""))
            (figure("orphans being killed", &number(totals.orphans), ""))
            (figure("API keys", &number(totals.keys as u64), ""))
            (figure("connections", &number(totals.connections as u64), ""))
            (figure("log lines dropped", &number(totals.access_log_dropped), ""))
        }
    }
}

fn hour(points: &[Point]) -> Markup {
    let of = |read: fn(&Point) -> f32| points.iter().map(read).collect::<Vec<f32>>();
    // A point counts five seconds.
    let rate = |read: fn(&Point) -> f32| points.iter().map(|it| read(it) / 5.0).collect::<Vec<_>>();
    let whole = |it: f32| number(it as u64);
    let per_second = |it: f32| format!("{it:.1}/s");
    html! {
        h2 { "The last hour" }
        div.plots {
            (plot::line("in flight", &of(|it| it.in_flight), "", whole))
            (plot::line("waiting", &of(|it| it.waiting), "warning", whole))
            (plot::line("admitted", &rate(|it| it.admitted), "ok", per_second))
            (plot::line("rejected", &rate(|it| it.rejected), "critical", per_second))
            (plot::line("creations", &rate(|it| it.creations_succeeded), "ok", per_second))
            (plot::line("creations failed", &rate(|it| it.creations_failed), "critical", per_second))
            (plot::line("sandboxes", &of(|it| it.sandboxes), "", whole))
            (plot::line("breakers not closed", &of(|it| it.breakers_not_closed), "critical", whole))
        }
    }
}

fn process(core: &Core) -> Markup {
    let asks = "Drain this gateway and end it, as SIGTERM does? It accepts no more connections and \
                finishes requests in flight.";
    html! {
        h2 { "This gateway" }
        div.buttons {
            (super::parts::button("Reload the configuration", "/api/v1/reload", "Read the configuration again? One that is invalid changes nothing."))
            @if core.totals.shuts_down {
                span.muted { "It is shutting down." }
            } @else {
                (super::parts::button("Drain and end", "/api/v1/drain", asks))
            }
        }
    }
}
