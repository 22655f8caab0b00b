use maud::{Markup, html};
use sandtower_telemetry::{Alert, RULES, Rule};

use super::Section;
use super::format::span_s;
use super::parts::{more, nothing, whose};
use crate::Gateway;
use crate::admin::State;
use crate::admin::board::Whose;

/// Where one alert fires, at most.
const SHOWN: usize = 3;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let alerts = state.board.watch().alerts();
    vec![("firing", firing(state.board.gateway(), &alerts)), ("rules", rules(&alerts))]
}

/// On the overview: only what fires.
pub(super) fn brief(gateway: &Gateway, alerts: &[Alert]) -> Markup {
    html! {
        @if !alerts.is_empty() {
            h2 { "Alerts" }
            (list(gateway, alerts, 10))
        }
    }
}

fn firing(gateway: &Gateway, alerts: &[Alert]) -> Markup {
    html! {
        h2 { "Firing" }
        @if alerts.is_empty() { (nothing("No alert fires.")) } @else { (list(gateway, alerts, RULES.len())) }
    }
}

/// By rule: many keys may have the same one.
fn list(gateway: &Gateway, alerts: &[Alert], most: usize) -> Markup {
    let of = |rule: &Rule| alerts.iter().filter(|it| it.name == rule.name).collect::<Vec<_>>();
    let mut by_rule: Vec<_> = RULES.iter().map(of).filter(|all| !all.is_empty()).collect();
    by_rule.sort_by_key(|all| all[0].severity != "critical");
    html! {
        div.scroll {
            table {
                thead { tr { th { "alert" } th { "where" } th.number { "for" } th { "what to do" } } }
                tbody { @for all in by_rule.iter().take(most) { (rule(gateway, all)) } }
            }
        }
    }
}

/// The alerts of one rule.
fn rule(gateway: &Gateway, all: &[&Alert]) -> Markup {
    let longest = all.iter().map(|alert| alert.firing_for.as_secs()).max().unwrap_or_default();
    html! {
        @if let Some(first) = all.first() {
            tr {
                td.text {
                    span.pill.(class(first.severity)) { (first.severity) } " "
                    strong { (first.name) } br; (first.summary)
                }
                td {
                    @for alert in all.iter().take(SHOWN) { div { (labels(gateway, alert)) } }
                    (more(all.len().saturating_sub(SHOWN), "of them"))
                }
                td.number { (span_s(longest)) }
                td { a href=(first.runbook_url) rel="noreferrer" { "runbook" } }
            }
        }
    }
}

fn class(severity: &str) -> &'static str {
    if severity == "critical" { "critical" } else { "warning" }
}

/// The name of a source is that of a stack.
fn source(gateway: &Gateway, name: &str) -> Markup {
    match name.strip_prefix("key_") {
        Some(id) => whose(&Whose::with_id(gateway, id)),
        None => whose(&Whose::of_stack(gateway, name)),
    }
}

fn labels(gateway: &Gateway, alert: &Alert) -> Markup {
    html! {
        @for (label, value) in &alert.labels {
            @if *label == "source" { (source(gateway, value)) } @else { span.muted { (label) "=" (value) } } " "
        }
    }
}

fn rules(alerts: &[Alert]) -> Markup {
    let fires = |rule: &Rule| alerts.iter().any(|alert| alert.name == rule.name);
    html! {
        h2 { "All rules" }
        div.scroll {
            table {
                thead { tr { th { "alert" } th { "what it says" } th {} th { "what to do" } } }
                tbody {
                    @for rule in RULES {
                        tr {
                            td { strong { (rule.name) } }
                            td.text { (rule.summary) }
                            td { @if fires(rule) { span.pill.critical { "fires" } } @else { span.muted { "quiet" } } }
                            td { a href=(rule.runbook_url()) rel="noreferrer" { "runbook" } }
                        }
                    }
                }
            }
        }
    }
}
