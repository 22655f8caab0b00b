//! What a scrape gets.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakers, Config, Scopes};
use sandtower::core::{
    CallEnd, Completion, Deferred, Gate, Now, ObserveCalls, RequestInfo, Scope, Tenant, Tick,
    TraceParent, Verdict, recording,
};
use sandtower::e2b::{self, operation};
use sandtower::rate_limit::{self, ByTenant, RateLimits};
use sandtower::stack::Stack;
use sandtower_telemetry::{AddError, Durations, Format, Kind, Origin, Registry, TABLE};

pub(crate) fn stack() -> Stack {
    let config = e2b::Config::new("e2b_0123").unwrap();
    let stack = Stack::builder(config).default_template("base").monitor(|it| it);
    stack.pool(|pool| pool.shape(&e2b::NewSandbox::new("base"))).build().unwrap()
}

/// The series of an exposition.
pub(crate) fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (line, _) = line.split_once(" # ").unwrap_or((line, ""));
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name, value.parse().unwrap())
    });
    let mut all = BTreeMap::new();
    for (name, value) in parsed {
        assert!(all.insert(name, value).is_none(), "{name} is there twice");
    }
    all
}

#[tokio::test(start_paused = true)]
async fn every_state_and_counter_is_there_as_0_from_the_start() {
    let registry = Registry::new();
    let stack = stack();
    registry.add("e2b", stack.handles().clone()).unwrap();
    let durations = Durations::new(operation::GROUPS, operation::group);
    registry.add("e2b", durations).unwrap();
    let text = registry.encode(Format::OpenMetrics);
    let all = series(&text);
    let of_stack = |layer: &str| !["retry_budget", "failover"].contains(&layer);
    for metric in TABLE.iter().filter(|metric| of_stack(metric.layer)) {
        let has_zero = metric.kind == Kind::Counter || matches!(metric.from, Origin::State(..));
        let mut own = all
            .iter()
            .filter(|(name, _)| name.split_once('{').is_some_and(|(name, _)| name == metric.name));
        let zeros = own.clone().filter(|(_, value)| **value == 0.0).count();
        assert!(!has_zero || zeros > 0, "{} is not there as 0", metric.name);
        if metric.kind == Kind::Counter {
            assert!(own.all(|(_, value)| *value == 0.0), "{} is not 0", metric.name);
        }
        let operations = metric.each.is_some_and(|each| each.operations);
        if operations && metric.kind == Kind::Counter {
            assert!(zeros >= operation::ALL.len(), "{}: {zeros}", metric.name);
        }
    }
    for state in ["closed", "open", "half_open"] {
        for breaker in ["control_plane", "data_plane"] {
            let name = format!(
                "sandtower_circuit_breaker_state{{source=\"e2b\",breaker=\"{breaker}\",state=\"{state}\"}}"
            );
            assert_eq!(all[&*name], f64::from(u8::from(state == "closed")));
        }
    }
    for stage in ["call", "attempt", "queue", "backoff", "health_check"] {
        let name = format!(
            "sandtower_duration_seconds_count{{source=\"e2b\",group=\"create\",stage=\"{stage}\"}}"
        );
        assert_eq!(all[&*name], 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_layer_is_two_lines_and_a_source_can_be_removed() {
    let registry = Registry::new();
    registry.add("search", CircuitBreaker::recommended("search")).unwrap();
    let series =
        r#"sandtower_circuit_breaker_state{source="search",breaker="search",state="closed"} 1"#;
    assert!(registry.encode(Format::Text).contains(series));
    assert_eq!(registry.remove("search"), 1);
    assert_eq!(registry.remove("search"), 0);
    assert_eq!(registry.encode(Format::Text), "");
    assert_eq!(registry.encode(Format::OpenMetrics), "# EOF\n");
}

#[tokio::test(start_paused = true)]
async fn two_sources_of_one_name_are_an_error() {
    let registry = Registry::new();
    let breaker = CircuitBreaker::recommended("x");
    registry.add("e2b", stack().handles().clone()).unwrap();
    let twice = registry.add("e2b", breaker.clone()).unwrap_err();
    assert_eq!(twice, AddError::Duplicate { name: "e2b".into(), kind: "circuit_breaker" });
    assert!(registry.add("e2b", stack().handles().clone()).is_err());
    registry.add("other", breaker.clone()).unwrap();
    let scoped = CircuitBreakers::new(Config::recommended("x"), Scopes::default()).unwrap();
    assert!(registry.add("other", scoped).is_err());
    registry.add("another", stack().handles().clone()).unwrap();
    assert!(matches!(registry.add("", breaker.clone()), Err(AddError::Name { length: 0 })));
    assert!(registry.add("x".repeat(129), breaker).is_err());
}

#[tokio::test(start_paused = true)]
async fn label_values_are_escaped() {
    let registry = Registry::new();
    registry.add("a\"b\\c\nd", CircuitBreaker::recommended("}")).unwrap();
    let text = registry.encode(Format::OpenMetrics);
    assert!(text.contains(r#"{source="a\"b\\c\nd",breaker="}"}"#), "{text}");
    assert!(text.lines().all(|line| line.starts_with(['s', '#'])), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_scrape_chooses_the_format() {
    let registry = Registry::new();
    registry.add("search", CircuitBreaker::recommended("search")).unwrap();
    let mut headers = HeaderMap::new();
    let plain = registry.scrape(&headers);
    assert!(plain.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
    assert!(plain.body().contains("# TYPE sandtower_circuit_breaker_trips_total counter\n"));
    // As Prometheus 2.42 sends it.
    let accept =
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    headers.insert(ACCEPT, accept.parse().unwrap());
    let open = registry.scrape(&headers);
    let content_type = open.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    assert!(open.body().contains("# TYPE sandtower_circuit_breaker_trips counter\n"));
    assert!(open.body().ends_with("# EOF\n"));
}

#[tokio::test(start_paused = true)]
async fn of_many_breakers_the_20_that_matter_have_series() {
    let names = Scopes::default().named(|scope| scope.id().to_string());
    let breakers = CircuitBreakers::new(Config::recommended("x"), names).unwrap();
    let held: Vec<_> = (1..=50).map(|id| breakers.of(Scope::new(id))).collect();
    held[40].force_open();
    let registry = Registry::new();
    registry.add("x", breakers).unwrap();
    let text = registry.encode(Format::Text);
    let all = series(&text);
    let closed: Vec<_> = all
        .iter()
        .filter(|(name, _)| name.starts_with("sandtower_circuit_breaker_state{"))
        .filter(|(name, _)| name.contains("state=\"closed\""))
        .collect();
    assert_eq!(closed.len(), 21);
    let value = |breaker: &str, state: &str| {
        let labels = format!("{{source=\"x\",breaker=\"{breaker}\",state=\"{state}\"}}");
        all[&*format!("sandtower_circuit_breaker_state{labels}")]
    };
    assert_eq!(value("x/41", "open"), 1.0);
    assert_eq!(value("other", "closed"), 30.0);
}

#[tokio::test(start_paused = true)]
async fn of_many_tenants_the_20_with_the_most_attempts_have_series() {
    let by_tenant = ByTenant::new(NonZeroUsize::new(10_000).unwrap());
    let by_tenant = by_tenant.named(|tenant| tenant.id().to_string());
    let limits = RateLimits::new(rate_limit::Config::classic(), by_tenant).unwrap();
    for tenant in (1..=500_u64).map(Tenant::new) {
        let info = RequestInfo::new(operation::SANDBOX_CREATE).tenant(tenant);
        for _ in 0..if tenant == Tenant::new(250) { 3 } else { 1 } {
            let mut later = Deferred::new();
            let permit = limits.try_acquire(&info, &Now::new(), &mut later).unwrap();
            let done = Completion::new(Verdict::success(), Tick::now(), Now::new());
            assert!(limits.record(&info, permit, &done, &mut later).is_none());
        }
    }
    let registry = Registry::new();
    registry.add("e2b", limits).unwrap();
    let text = registry.encode(Format::Text);
    let all = series(&text);
    assert_eq!(all.len(), 21);
    let name = all.keys().find(|name| name.contains("250")).unwrap();
    assert_eq!(all[name], 3.0);
    assert_eq!(all[r#"sandtower_tenant_attempts{source="e2b",tenant="other"}"#], 480.0);
}

#[tokio::test(start_paused = true)]
async fn durations_are_counted_by_group_and_stage_with_exemplars() {
    let durations = Durations::new(operation::GROUPS, operation::group);
    let info = RequestInfo::new(operation::SANDBOX_CREATE);
    let mut call = recording::Recording::begin(Tick::now());
    tokio::time::advance(Duration::from_millis(700)).await;
    let ended = recording::Ended::new(sandtower::core::Outcome::Success);
    let explanation = call.end(ended, None, Tick::now()).unwrap();
    let trace = TraceParent::new(0xabc, 1, true);
    durations.call_ended(&CallEnd::new(&info, &explanation).trace(trace));
    let registry = Registry::new();
    registry.add("e2b", durations).unwrap();
    let text = registry.encode(Format::OpenMetrics);
    let of = |rest: &str| format!("{{source=\"e2b\",group=\"create\",{rest}}}");
    let all = series(&text);
    for stage in ["call", "attempt"] {
        let bucket = |le: &str| {
            all[&*format!(
                "sandtower_duration_seconds_bucket{}",
                of(&format!("stage=\"{stage}\",le=\"{le}\""))
            )]
        };
        assert_eq!(
            [bucket("0.5"), bucket("1"), bucket("120"), bucket("+Inf")],
            [0.0, 1.0, 1.0, 1.0]
        );
        let sum = format!("sandtower_duration_seconds_sum{}", of(&format!("stage=\"{stage}\"")));
        assert_eq!(all[&*sum], 0.7);
    }
    assert_eq!(all[&*format!("sandtower_calls_total{}", of("outcome=\"success\""))], 1.0);
    let exemplar = format!(" 1 # {{trace_id=\"{:032x}\"}} 0.7\n", 0xabc);
    assert_eq!(text.matches(&exemplar).count(), 2, "{text}");
    assert!(!registry.encode(Format::Text).contains("trace_id"));
}
