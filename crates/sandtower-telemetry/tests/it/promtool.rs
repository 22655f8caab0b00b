//! Prometheus' own tool reads what this crate writes, and agrees with the evaluation in the process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::{env, fs};

use sandtower_telemetry::{Alert, Format, RULES, Registry, alert_rules};
use serde_json::json;

use crate::exposition::{series, stack};
use crate::scenarios::SCENARIOS;
use crate::watch::evaluate;

const PROMTOOL: &str = "SANDTOWER_PROMTOOL";

/// The tool; without it the test is left out, but never in CI.
fn promtool(test: &str) -> Option<Command> {
    match env::var_os(PROMTOOL).filter(|program| !program.is_empty()) {
        Some(program) => Some(Command::new(program)),
        None => {
            assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{PROMTOOL} is not set");
            let left_out =
                format!("left out: {test}: {PROMTOOL} is not set (cargo xtask test sets it)\n");
            // Not a macro's print, which is captured.
            std::io::stderr().write_all(left_out.as_bytes()).unwrap();
            None
        }
    }
}

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn promtool_accepts_the_rules() {
    let Some(mut promtool) = promtool("promtool_accepts_the_rules") else { return };
    let rules = folder("promtool-check").join("alerts.yml");
    fs::write(&rules, alert_rules()).unwrap();
    let output = promtool.args(["check", "rules", "--lint-fatal"]).arg(rules).output().unwrap();
    assert_passed(&output);
    let found = format!("{} rules found", RULES.len());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&found), "{output:?}");
}

#[tokio::test(start_paused = true)]
async fn promtool_accepts_the_exposition() {
    let Some(mut promtool) = promtool("promtool_accepts_the_exposition") else { return };
    let registry = Registry::new();
    registry.add("e2b \"quoted\"\\", stack().handles().clone()).unwrap();
    let file = folder("promtool-metrics").join("metrics.txt");
    fs::write(&file, registry.encode(Format::Text)).unwrap();
    let input = Stdio::from(fs::File::open(file).unwrap());
    assert_passed(&promtool.args(["check", "metrics"]).stdin(input).output().unwrap());
}

/// The series of each scenario, as they are exported minute by minute, and at each minute the alerts
/// that fire in the process: Prometheus must fire the same.
#[tokio::test(start_paused = true)]
async fn prometheus_and_the_process_fire_the_same_alerts() {
    let Some(mut promtool) = promtool("prometheus_and_the_process_fire_the_same_alerts") else {
        return;
    };
    let folder = folder("promtool-test");
    fs::write(folder.join("alerts.yml"), alert_rules()).unwrap();
    let mut tests = Vec::new();
    for scenario in SCENARIOS {
        let (registry, minute) = scenario.play();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for at in 0..=scenario.minutes {
            minute.store(at, Ordering::Relaxed);
            for (name, value) in series(&registry.encode(Format::Text)) {
                write!(values.entry(name.to_owned()).or_default(), "{value} ").unwrap();
            }
        }
        let input =
            values.iter().map(|(series, values)| json!({"series": series, "values": values}));
        let fired = evaluate(scenario).await;
        let expected = fired.iter().enumerate().flat_map(|(minute, alerts)| {
            RULES.iter().map(move |rule| {
                let own = alerts.iter().filter(|alert| alert.name == rule.name);
                let own = own.map(expected).collect::<Vec<_>>();
                json!({"eval_time": format!("{minute}m"), "alertname": rule.name, "exp_alerts": own})
            })
        });
        tests.push(json!({
            "interval": "1m",
            "input_series": input.collect::<Vec<_>>(),
            "alert_rule_test": expected.collect::<Vec<_>>(),
        }));
    }
    // JSON is YAML.
    let all = json!({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests});
    let file = folder.join("tests.yml");
    fs::write(&file, all.to_string()).unwrap();
    let output = promtool.args(["test", "rules"]).arg(file).output().unwrap();
    assert_passed(&output);
}

fn expected(alert: &Alert) -> serde_json::Value {
    let mut labels = serde_json::to_value(&alert.labels).unwrap();
    labels["severity"] = alert.severity.into();
    let annotations = json!({"summary": alert.summary, "runbook_url": alert.runbook_url});
    json!({"exp_labels": labels, "exp_annotations": annotations})
}
