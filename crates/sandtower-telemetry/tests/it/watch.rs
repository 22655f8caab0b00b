//! Alerts and history in the process, over virtual time.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandtower::core::{BoxError, MetricSource};
use sandtower_telemetry::{Alert, RULES, Registry, Watch};
use tokio::time::sleep;

use crate::exposition::stack;
use crate::scenarios::{SCENARIOS, Scenario};

/// What fires at each minute.
pub(crate) async fn evaluate(scenario: &Scenario) -> Vec<Vec<Alert>> {
    let (registry, minute) = scenario.play();
    let watch = Watch::new(registry);
    let running = tokio::spawn(watch.clone().run());
    // Values change 2 s before the minute, and are read 2 s after it.
    sleep(Duration::from_secs(2)).await;
    let mut all = vec![watch.alerts()];
    for at in 1..=scenario.minutes {
        sleep(Duration::from_secs(56)).await;
        minute.store(at, Ordering::Relaxed);
        sleep(Duration::from_secs(4)).await;
        all.push(watch.alerts());
    }
    running.abort();
    all
}

#[tokio::test(start_paused = true)]
async fn each_alert_fires_when_it_should_and_no_other() {
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        for (minute, alerts) in evaluate(scenario).await.iter().enumerate() {
            let names: BTreeSet<_> = alerts.iter().map(|alert| alert.name).collect();
            let expected = scenario.fires.as_ref().is_some_and(|it| it.contains(&(minute as u64)));
            let context = format!("scenario {at} of {}, minute {minute}: {names:?}", scenario.rule);
            assert_eq!(names.contains(scenario.rule), expected, "{context}");
            let known = |name: &&str| *name == scenario.rule || scenario.also.contains(name);
            assert!(names.iter().all(known), "{context}");
        }
    }
}

#[test]
fn each_alert_has_a_scenario_that_fires_and_one_that_does_not() {
    for rule in RULES {
        for fires in [true, false] {
            let mut own = SCENARIOS.iter().filter(|scenario| scenario.rule == rule.name);
            assert!(own.any(|scenario| scenario.fires.is_some() == fires), "{} {fires}", rule.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_says_what_it_is_about() {
    let alerts = evaluate(&SCENARIOS[0]).await;
    let alert = &alerts[8][0];
    assert!(alert.runbook_url.ends_with("docs/operations.md#sandtowerbreakernotclosed"));
    let json = serde_json::to_value(alert).unwrap();
    assert_eq!(json["labels"], serde_json::json!({"source": "e2b", "breaker": "E2B"}));
    assert_eq!(json["severity"], "critical");
    assert_eq!(json["firing_for_ms"], 122_000);
}

#[tokio::test(start_paused = true)]
async fn the_history_is_an_hour_of_points_and_no_more() {
    let registry = Registry::new();
    let stack = stack();
    registry.add("e2b", stack.handles().clone()).unwrap();
    let watch = Watch::new(registry.clone());
    assert_eq!(watch.history("e2b"), None);
    let running = tokio::spawn(watch.clone().run());
    sleep(Duration::from_secs(21)).await;
    stack.handles().control_plane_breaker.force_open();
    sleep(Duration::from_secs(5)).await;
    let line = |name: &str| {
        let history = watch.history("e2b").unwrap();
        history.lines.into_iter().find(|line| line.name == name).unwrap().points
    };
    assert_eq!(line("control_plane_closed"), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0].map(Some));
    assert_eq!(line("data_plane_closed"), [Some(1.0); 6]);
    assert_eq!(line("admitted"), [Some(0.0); 6]);
    sleep(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(line("control_plane_closed"), vec![Some(0.0); 720]);
    let bytes = serde_json::to_vec(&watch.history("e2b").unwrap()).unwrap().len();
    println!("an hour of one stack is {bytes} bytes of JSON");
    registry.remove("e2b");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(watch.history("e2b"), None);
    running.abort();
}

/// Breaks when it is serialized.
struct Broken;

impl MetricSource for Broken {
    type Snapshot = Result<(), BrokenSnapshot>;
    const KIND: &'static str = "quota";

    fn read(&self) -> Self::Snapshot {
        Err(BrokenSnapshot)
    }
}

struct BrokenSnapshot;

impl serde::Serialize for BrokenSnapshot {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("broken"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_breaks_no_other_and_only_one_run_reads() -> Result<(), BoxError> {
    let registry = Registry::new();
    registry.add("broken", Broken)?;
    registry.add("e2b", stack().handles().clone())?;
    let watch = Watch::new(registry);
    let running = tokio::spawn(watch.clone().run());
    sleep(Duration::from_secs(1)).await;
    // Returns: another one runs.
    watch.clone().run().await;
    sleep(Duration::from_secs(10)).await;
    let history = watch.history("e2b").unwrap();
    assert_eq!(history.lines[0].points.len(), 3);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let again = tokio::spawn(watch.clone().run());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(watch.history("e2b").unwrap().lines[0].points.len(), 4);
    again.abort();
    Ok(())
}
