//! The board for Grafana.

use serde_json::{Value, json};

/// One panel: its title, its unit as Grafana names it, and its expressions with their legends.
struct Panel {
    title: &'static str,
    unit: &'static str,
    lines: &'static [(&'static str, &'static str)],
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    lines: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, unit, lines }
}

/// `$of` chooses the sources, `$by` is how far a counter is looked back.
#[rustfmt::skip]
const PANELS: &[Panel] = &[
    panel("Circuit breakers that are not closed", "short", &[
        ("1 - max without (state) (sandtower_circuit_breaker_state{$of, state=\"closed\"})", "{{source}} {{breaker}}"),
    ]),
    panel("Creations", "ops", &[
        ("rate(sandtower_creations_started_total{$of}[$by])", "{{source}} started"),
        ("rate(sandtower_creations_succeeded_total{$of}[$by])", "{{source}} succeeded"),
        ("rate(sandtower_creations_failed_total{$of}[$by])", "{{source}} failed"),
    ]),
    panel("Failed creations of the last hour", "short", &[
        ("increase(sandtower_creations_failed_total{$of}[1h])", "{{source}}"),
    ]),
    panel("Calls by outcome", "ops", &[
        ("sum by (outcome) (rate(sandtower_calls_total{$of}[$by]))", "{{outcome}}"),
    ]),
    panel("Duration of calls, 95 %", "s", &[
        ("histogram_quantile(0.95, sum by (le, group) (rate(sandtower_duration_seconds_bucket{$of, stage=\"call\"}[$by])))", "{{group}}"),
    ]),
    panel("Where the time of creations goes", "s", &[
        ("sum by (stage) (rate(sandtower_duration_seconds_sum{$of, group=\"create\", stage!=\"call\"}[$by])) / scalar(sum(rate(sandtower_duration_seconds_count{$of, group=\"create\", stage=\"call\"}[$by])))", "{{stage}}"),
    ]),
    panel("Calls in flight and in queues", "short", &[
        ("sum by (operation) (sandtower_admission_in_flight{$of}) > 0", "{{operation}} in flight"),
        ("sum by (operation) (sandtower_admission_waiting{$of}) > 0", "{{operation}} waiting"),
    ]),
    panel("Rejected by admission control", "ops", &[
        ("sum by (reason) (rate(sandtower_admission_rejected_total{$of}[$by]))", "{{reason}}"),
    ]),
    panel("Retries", "ops", &[
        ("rate(sandtower_retry_retries_total{$of}[$by])", "{{source}} retries"),
        ("sum by (result) (rate(sandtower_retry_calls_total{$of}[$by])) > 0", "{{result}}"),
    ]),
    panel("Rate limit used", "percentunit", &[
        ("sandtower_rate_limit_attempts{$of} / sandtower_rate_limit_limit{$of}", "{{source}} {{operation}}"),
    ]),
    panel("Sandboxes", "short", &[
        ("sandtower_quota_in_use{$of}", "{{source}} in use"),
        ("sandtower_quota_limit{$of}", "{{source}} limit"),
    ]),
    panel("Health checks of new sandboxes", "ops", &[
        ("sum by (result) (rate(sandtower_health_check_checks_total{$of}[$by]))", "{{result}}"),
    ]),
    panel("Orphaned sandboxes", "short", &[
        ("sandtower_tracker_open{$of}", "{{source}} may exist"),
        ("sandtower_tracker_killing{$of}", "{{source}} being killed"),
        ("increase(sandtower_tracker_abandoned_total{$of}[1h])", "{{source}} abandoned within an hour"),
    ]),
    panel("Warm sandboxes", "short", &[
        ("sandtower_pool_sandboxes{$of, state=\"idle\"}", "{{source}} idle"),
        ("sandtower_pool_target{$of}", "{{source}} target"),
        ("sandtower_pool_shape_suspended{$of} > 0", "{{source}} {{shape}} suspended"),
    ]),
    panel("Creations served from the warm pool", "ops", &[
        ("rate(sandtower_pool_hits_total{$of}[$by])", "{{source}} hits"),
        ("sum by (source, reason) (rate(sandtower_pool_misses_total{$of}[$by])) > 0", "{{source}} {{reason}}"),
    ]),
    panel("Cost of warm sandboxes in dollars an hour", "currencyUSD", &[
        ("sandtower_pool_cost_dollars_per_hour{$of}", "{{source}}"),
        ("sandtower_pool_budget_dollars_per_hour{$of}", "{{source}} budget"),
    ]),
    panel("Alternatives", "ops", &[
        ("rate(sandtower_fallback_used_total{$of}[$by])", "{{source}} fallback"),
        ("rate(sandtower_failover_took_over_total{$of}[$by])", "{{source}} {{place}}"),
    ]),
];

const WIDTH: usize = 12;
const HEIGHT: usize = 8;

/// A board for Grafana 9 or newer, as JSON to import. `assets/board.json` in this crate is its text.
pub fn grafana_board() -> String {
    let panels: Vec<Value> = PANELS.iter().enumerate().map(json_of).collect();
    let source = json!({
        "name": "source",
        "label": "Source",
        "type": "query",
        "datasource": datasource(),
        "query": "label_values(sandtower_creations_started_total, source)",
        "definition": "label_values(sandtower_creations_started_total, source)",
        "refresh": 2,
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    });
    let prometheus = json!({
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
    });
    let board = json!({
        "uid": "sandtower",
        "title": "sandtower",
        "schemaVersion": 38,
        "version": 1,
        "editable": true,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "tags": ["sandtower"],
        "templating": {"list": [prometheus, source]},
        "annotations": {"list": []},
        "panels": panels,
    });
    format!("{board:#}\n")
}

fn json_of((at, panel): (usize, &Panel)) -> Value {
    let targets = panel.lines.iter().zip('A'..).map(|((expression, legend), id)| {
        json!({
            "refId": id.to_string(),
            "datasource": datasource(),
            "expr": expression.replace("$of", "source=~\"$source\"").replace("$by", "$__rate_interval"),
            "legendFormat": legend,
        })
    });
    json!({
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": datasource(),
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": at % 2 * WIDTH, "y": at / 2 * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}
