//! The table has what the snapshots have.

use std::collections::BTreeSet;

use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakers, Config, Scopes};
use sandtower::core::{MetricSource, Operation, Priority, Scope, Tenant};
use sandtower::e2b;
use sandtower::fallback::{Failover, FailoverConfig};
use sandtower::rate_limit::{self, ByTenant, RateLimits};
use sandtower::retry::Budget;
use sandtower::stack::{Component, Stack};
use sandtower_telemetry::{Kind, Origin, TABLE, metric};
use serde_json::Value;

/// Fields of snapshots that are no metric, and why.
const NOT_EXPORTED: &[(&str, &str, &str)] = &[
    ("admission", "name", "the source has a name"),
    ("admission", "queues.waiting", "the sum over its classes"),
    ("circuit_breaker", "at_once", "null while there is no limit"),
    ("circuit_breaker", "last_cause", "a text for people"),
    ("circuit_breaker", "name", "the label `breaker`"),
    ("circuit_breaker", "retry_in_ms", "follows from the state"),
    ("circuit_breaker", "scope", "its name is in that of the breaker"),
    ("failover", "current", "in `places`"),
    ("failover", "name", "the source has a name"),
    ("fallback", "name", "the source has a name"),
    ("monitor", "last_error", "a text for people"),
    ("monitor", "last_error_ago_ms", "of that text"),
    ("monitor", "since_ms", "follows from the state over time"),
    ("pool", "most_in_stock", "the highest value of the others over time"),
    ("pool", "shapes.came", "in the rate"),
    ("pool", "shapes.capped_by", "a reason for people"),
    ("pool", "shapes.determined_by", "a reason for people"),
    ("pool", "shapes.forecast", "beside what came, in the error"),
    ("pool", "shapes.is_configured", "does not change"),
    ("quota", "name", "the source has a name"),
    ("quota", "next_probe_in_ms", "for callers"),
    ("rate_limit", "by_operation.enforced", "the limit as a whole has it"),
    ("rate_limit", "total", "the sum of the operations"),
    ("rate_limits", "by_operation", "tenants by operations would be too many series"),
    ("rate_limits", "enforced", "one rate limit has it"),
    ("rate_limits", "store_available", "tenants have no store"),
    ("rate_limits", "window_ms", "one rate limit has it"),
    ("tracker", "last_abandoned", "names of sandboxes are no labels"),
];

#[tokio::test(start_paused = true)]
async fn every_field_of_a_snapshot_is_a_metric_or_has_a_reason_not_to_be() {
    let mut there = BTreeSet::new();
    for (layer, snapshot) in snapshots() {
        names(layer, "", &snapshot, &mut there);
    }
    let exported =
        TABLE.iter().filter(|metric| metric.kind != Kind::Histogram).flat_map(|metric| {
            let at = metric.each.map_or("", |each| each.path);
            let labels = metric.each.iter().flat_map(|each| each.labels).map(|(_, field)| *field);
            // A position in a list belongs to the field that is the list.
            let field = |field: &'static str| field.trim_end_matches(['.', '0', '1', '2']);
            let fields = metric.fields().into_iter().map(field).chain(labels);
            fields.map(move |field| (metric.layer, path(at, field)))
        });
    let exported: BTreeSet<_> = exported.filter(|(layer, _)| *layer != "durations").collect();
    let left_out: BTreeSet<_> =
        NOT_EXPORTED.iter().map(|(layer, field, _)| (*layer, (*field).to_owned())).collect();
    let known: BTreeSet<_> = exported.union(&left_out).cloned().collect();
    let missing: Vec<_> = there.difference(&known).collect();
    assert!(missing.is_empty(), "add a row to `src/table.rs`, or a reason above: {missing:#?}");
    let invented: Vec<_> = known.difference(&there).collect();
    assert!(invented.is_empty(), "no snapshot has this field: {invented:#?}");
}

/// One snapshot of each kind of layer, with every list filled.
fn snapshots() -> Vec<(&'static str, Value)> {
    let stack = Stack::builder(e2b::Config::new("e2b_0123").unwrap()).default_template("base");
    let stack = stack.pool(|pool| pool.shape(&e2b::NewSandbox::new("base")));
    let stack = stack.monitor(|monitor| monitor).build().unwrap();
    let handles = stack.handles();
    let create = e2b::operation::SANDBOX_CREATE;
    handles.admission.set_concurrency(create, 3).unwrap();
    handles.rate_limit.set_limit(create, Some(10)).unwrap();
    let breakers = CircuitBreakers::new(Config::recommended("search"), Scopes::default()).unwrap();
    drop(breakers.of(Scope::new(1)));
    let tenants = ByTenant::new(std::num::NonZeroUsize::MIN);
    let tenants = RateLimits::new(rate_limit::Config::classic(), tenants).unwrap();
    drop(tenants.of(Tenant::new(1)));
    let failover = Failover::new(FailoverConfig::new("e2b"), [("eu", ()), ("us", ())], ());
    let stacked = serde_json::json!({"disabled": handles.snapshot().disabled});
    vec![
        ("stack", stacked),
        read(&handles.retry),
        read(&handles.tracker),
        read(&handles.events),
        read(&handles.health_check),
        read(&handles.admission),
        read(&handles.quota),
        read(&handles.rate_limit),
        read(&handles.control_plane_breaker),
        read(handles.default_template.as_ref().unwrap()),
        read(handles.monitor.as_ref().unwrap()),
        read(handles.pool.as_ref().unwrap()),
        read(&Budget::default()),
        read(failover.unwrap().handle()),
        ("rate_limits", read(&tenants).1[0].clone()),
        ("circuit_breaker", read(&breakers).1[0].clone()),
    ]
}

fn read<S: MetricSource>(source: &S) -> (&'static str, Value) {
    (S::KIND, serde_json::to_value(source.read()).unwrap())
}

fn names(layer: &'static str, at: &str, value: &Value, all: &mut BTreeSet<(&'static str, String)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| names(layer, &path(at, name), value, all));
        }
        Value::Array(rows) if rows.iter().any(Value::is_object) => {
            rows.iter().for_each(|row| names(layer, at, row, all));
        }
        _ => drop(all.insert((layer, at.to_owned()))),
    }
}

fn path(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

#[test]
fn every_state_of_a_layer_is_in_the_table() {
    let states = |name: &str| match metric(name).unwrap().from {
        Origin::State(_, _, states) | Origin::Listed(_, _, states) => states,
        _ => unreachable!(),
    };
    let components: Vec<_> = Component::ALL.iter().map(|component| component.name()).collect();
    assert_eq!(states("sandtower_component_disabled"), components);
    let Origin::Fields(_, classes) = metric("sandtower_admission_waiting").unwrap().from else {
        panic!("one series for each priority");
    };
    for (priority, (label, field)) in Priority::ALL.into_iter().zip(classes) {
        assert_eq!(priority.label(), *label);
        assert_eq!(format!("waiting_by_priority.{}", priority.index()), *field);
    }
    use sandtower::circuit_breaker::State::{Closed, HalfOpen, Open};
    let breaker = [Closed, Open, HalfOpen].map(|state| state.label());
    assert_eq!(states("sandtower_circuit_breaker_state"), breaker);
    use sandtower::health_check::Health::{Degraded, Down, Healthy};
    let health = [Healthy, Degraded, Down].map(|health| health.label());
    assert_eq!(states("sandtower_monitor_health"), health);
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for (at, metric) in TABLE.iter().enumerate() {
        let name = metric.name;
        assert!(TABLE[..at].iter().all(|other| other.name != name), "{name} is there twice");
        assert!(name.starts_with("sandtower_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert!(!name.contains("milli") && !name.ends_with("_ms"), "{name}");
        assert!(metric.help.ends_with('.') && metric.help.len() < 100, "{name}: {}", metric.help);
        let labels = metric.labels();
        assert_eq!(labels.len(), labels.iter().collect::<BTreeSet<_>>().len(), "{name}");
    }
}

#[test]
fn a_breaker_is_a_source_by_itself_and_its_operations_are_none() {
    assert_eq!(CircuitBreaker::recommended("search").operations(), &[] as &[Operation]);
}
