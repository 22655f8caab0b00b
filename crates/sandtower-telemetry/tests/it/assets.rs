//! The files that are generated from the table, and what they name.

use std::path::{Path, PathBuf};
use std::{env, fs};

use sandtower_telemetry::{RULES, TABLE, alert_rules, grafana_board, metric_of_series};
use serde_json::Value;

/// Set, the files are written anew in place of the comparison.
const REGENERATE: &str = "SANDTOWER_REGENERATE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn compare(path: &str, expected: &str) {
    let file = root().join(path);
    if env::var_os(REGENERATE).is_some() {
        fs::write(&file, expected).unwrap();
    }
    let held = fs::read_to_string(&file).unwrap_or_default();
    assert!(held == expected, "{path} is not what the table gives: run with {REGENERATE}=1");
}

#[test]
fn the_rules_are_generated() {
    compare("crates/sandtower-telemetry/assets/alerts.yml", &alert_rules());
}

#[test]
fn the_board_is_generated() {
    compare("crates/sandtower-telemetry/assets/board.json", &grafana_board());
}

#[test]
fn the_tables_of_the_document_are_generated() {
    let path = "docs/telemetry.md";
    let held = fs::read_to_string(root().join(path)).unwrap();
    let mut expected = held.clone();
    for (name, table) in [("metrics", metrics()), ("alerts", alerts())] {
        let (begin, end) =
            (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->"));
        let from = expected.find(&begin).expect(&begin) + begin.len();
        let to = expected.find(&end).expect(&end);
        expected.replace_range(from..to, &format!("\n{table}\n"));
    }
    compare(path, &expected);
}

fn metrics() -> String {
    let mut rows = String::from(
        "| metric | kind | labels | meaning | layer: fields |\n|---|---|---|---|---|\n",
    );
    for metric in TABLE {
        let (name, kind, help) = (metric.name, metric.kind.label(), metric.help);
        let labels = metric.labels();
        let labels = labels[1..].iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let fields = metric.fields().join("`, `");
        let (at, layer) = (metric.each.map_or("", |each| each.path), metric.layer);
        let layer = if at.is_empty() { layer.to_owned() } else { format!("{layer}, {at}") };
        rows += &format!("| `{name}` | {kind} | {labels} | {help} | {layer}: `{fields}` |\n");
    }
    rows
}

fn alerts() -> String {
    let mut rows = String::from(
        "| alert | severity | expression | for | stays for |\n|---|---|---|---|---|\n",
    );
    for rule in RULES {
        let (name, severity) = (rule.name, rule.severity.label());
        let link = format!("[{name}](operations.md#{})", name.to_lowercase());
        let minutes = |time: std::time::Duration| match time.as_secs() / 60 {
            0 => String::new(),
            minutes => format!("{minutes} min"),
        };
        let (hold, keep) = (minutes(rule.hold), minutes(rule.keep));
        rows += &format!("| {link} | {severity} | `{}` | {hold} | {keep} |\n", rule.when.promql());
    }
    rows
}

#[test]
fn each_alert_has_a_section_on_what_to_do() {
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for rule in RULES {
        assert!(operations.contains(&format!("\n### {}\n", rule.name)), "{}", rule.name);
    }
}

/// All words of an expression that begin as our metrics do.
pub(crate) fn names(expression: &str) -> Vec<&str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("sandtower_")).collect()
}

#[test]
fn each_name_in_rules_and_board_is_a_metric() {
    let board: Value = serde_json::from_str(&grafana_board()).unwrap();
    let targets = board["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    let of_board = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let of_rules = RULES.iter().map(|rule| rule.when.promql());
    let mut seen = 0;
    for expression in of_board.chain(of_rules) {
        let names = names(&expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(metric_of_series(name).is_some(), "{name} in {expression}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
    assert!(
        metric_of_series("sandtower_duration_seconds").is_none(),
        "a histogram has no such series"
    );
}

#[test]
fn the_board_has_what_grafana_needs() {
    let board: Value = serde_json::from_str(&grafana_board()).unwrap();
    for field in ["title", "uid", "panels", "schemaVersion", "templating", "time"] {
        assert!(!board[field].is_null(), "{field}");
    }
    let panels = board["panels"].as_array().unwrap();
    for (at, panel) in panels.iter().enumerate() {
        assert_eq!(panel["id"], at + 1);
        assert_eq!(panel["type"], "timeseries");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{place}");
        assert!(panels[..at].iter().all(|other| other["gridPos"] != *place), "{place} is taken");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            assert!(target["expr"].as_str().unwrap().contains("$source"), "{target}");
            assert!(target["refId"].is_string() && target["legendFormat"].is_string());
        }
    }
    let variables = board["templating"]["list"].as_array().unwrap().iter();
    let variables: Vec<_> = variables.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "source"]);
}
