//! What a file overrides, and what overrides it.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::sync::{Arc, Mutex};

use sandtower::e2b::Config;
use sandtower::stack::{Builder, Plan, Preset, Stack, StackConfig};

fn from_toml(text: &str) -> StackConfig {
    StackConfig::read(toml::Deserializer::parse(text).unwrap()).unwrap()
}

fn builder() -> Builder {
    Stack::builder(Config::new("e2b_0123").unwrap())
}

/// The configurations of a stack's components, as they are built.
fn configured(builder: Builder) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    macro_rules! see {
        ($builder:expr, $($part:ident)*) => {
            $builder$(.$part({
                let seen = Arc::clone(&seen);
                move |config| {
                    // The seeds differ.
                    let text = format!("{config:?}");
                    let text = text.split(", seed: ").next().unwrap().to_owned();
                    seen.lock().unwrap().push(text);
                    config
                }
            }))*
        };
    }
    let seeing = see!(builder, timeouts retry health_check admission quota rate_limit monitor);
    seeing
        .circuit_breaker({
            let seen = Arc::clone(&seen);
            move |config| {
                seen.lock().unwrap().push(serde_json::to_string(&config).unwrap());
                config
            }
        })
        .build()
        .unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn a_section_that_sets_nothing_changes_nothing_not_even_a_name() {
    let names = ["deadline", "timeout", "retry", "health_check", "admission", "quota"];
    let names = names.into_iter().chain(["rate_limit", "circuit_breaker", "monitor"]);
    let empty: String = names.map(|name| format!("[{name}]\n")).collect();
    for preset in [Preset::Recommended, Preset::Classic] {
        for plan in [Plan::Hobby, Plan::Pro] {
            let before = builder().preset(preset).plan(plan);
            let after = builder().configure(from_toml(&empty)).unwrap();
            // Here the preset and the plan are set after the file.
            let (before, after) = (configured(before), configured(after.preset(preset).plan(plan)));
            assert_eq!(before, after);
            assert_eq!(before.len(), 8);
            assert!(before[3].contains("name: \"E2B\""), "{before:?}");
        }
    }
}

#[test]
fn settings_by_operation_are_merged_and_others_are_replaced() {
    let text = r#"
        [admission]
        newest_first_after_for = { file_read = "2s" }
        [rate_limit]
        paces = { file_read = "1ms" }
        warn_at = [10]
        [retry]
        throttled = { first = "2s", most = "2s" }
    "#;
    let all = configured(builder().configure(from_toml(text)).unwrap()).join("\n");
    for there in [
        r#"newest_first_after_for: {"file_read": Time(2s), "sandbox_create": Time("#,
        r#"paces: {"file_read": Pace { interval: 1ms, burst: 1 }, "sandbox_create": Pace { interval: 1s"#,
        "warn_at: [10]",
        "throttled: Backoff { base: 2s, cap: 2s",
        "transient: Backoff { base: 250ms, cap: 8s,",
    ] {
        assert!(all.contains(there), "{there}: {all}");
    }
}

#[test]
fn the_later_of_two_files_wins_and_a_closure_wins_over_both() {
    let builder = builder()
        .admission(|admission| admission.queue(3))
        .configure(from_toml(
            "[admission]\nqueue = 1\nslots_to_the_end = true\nlongest_wait = '1s'",
        ))
        .unwrap()
        .configure(from_toml("[admission]\nqueue = 2\nlongest_wait = '2s'"))
        .unwrap();
    let all = configured(builder).join("\n");
    for there in ["queue: 3,", "longest_wait: 2s", "slots_to_the_end: true"] {
        assert!(all.contains(there), "{there}: {all}");
    }
}
