//! A stack out of a file, and what is said of a wrong one.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::time::Duration;

use sandtower::e2b::{Config, operation as op};
use sandtower::stack::{Part, Stack, StackConfig};

fn from_toml(text: &str) -> Result<StackConfig, String> {
    let text = toml::Deserializer::parse(text).map_err(|error| error.to_string())?;
    StackConfig::read(text).map_err(|error| error.to_string())
}

fn from_json(text: &str) -> Result<StackConfig, String> {
    let mut text = serde_json::Deserializer::from_str(text);
    StackConfig::read(&mut text).map_err(|error| error.to_string())
}

fn build(config: StackConfig) -> Result<Stack, String> {
    let builder = Stack::builder(Config::new("e2b_0123").unwrap());
    let builder = builder.configure(config).map_err(|error| error.to_string())?;
    builder.build().map_err(|error| error.to_string())
}

const WHOLE: &str = r#"
    preset = "original"
    default_template = "base"
    without = ["health_check", "retry"]

    [custom_plan]
    create_every = "100ms"
    sandboxes = 1_100
    concurrent_creates = 20

    [deadline]
    sandbox_create = "5m"
    file_read = "none"

    [timeout]
    file_read = "10s"

    [retry]
    attempts = 3
    transient = { first = "500ms", most = "10s", jitter = true }
    throttled = { first = "30s", most = "30s" }
    unknown = { first = "1s", most = "10s" }
    longest_retry_after = "1m"
    budget = { ratio = 0.5, cap = 20 }

    [health_check]
    probe = "health"
    on_failure = "discard"
    tries = 2
    probe_within = "5s"
    pause = "100ms"

    [admission]
    concurrency = 32
    concurrency_for = { file_read = 8 }
    queue = 100
    newest_first_after = "2s"

    [quota]
    limit = 7
    probe = { first = "1s", most = "1m" }
    lease = "90s"

    [rate_limit]
    window = "30m"
    mode = "enforce"
    limit_each = 1_000
    limits = { sandbox_create = 50 }
    paces = { sandbox_create = "2s" }
    warn_at = [50, 90]
    longest_hold = "20s"

    [circuit_breaker]
    consecutive_failures = 3
    open_between = { first = "2s", most = "1m" }
    stable_after = "2m"
    longest_open = "4m"
    probes = 2
    successes = 2
    ramp = 8
    lease = "90s"
    when_open = "hold"

    [monitor]
    every = "30s"
    jitter = 0
    probe_within = "2s"
    fall = 5
    rise = 1
"#;

#[test]
fn every_part_can_be_set_from_a_file() {
    let stack = build(from_toml(WHOLE).unwrap()).unwrap();
    let snapshot = stack.handles().snapshot();
    assert_eq!(snapshot.without, [Part::HealthCheck, Part::Retry]);
    assert!(snapshot.default_template.is_some());
    assert!(snapshot.monitor.is_some());
    assert_eq!(stack.handles().rate_limit.status(op::SANDBOX_CREATE).limit, Some(50));
    assert_eq!(stack.handles().rate_limit.status(op::FILE_READ).limit, Some(1_000));
    let quota = serde_json::to_value(stack.handles().quota.snapshot()).unwrap();
    assert_eq!(quota["limit"], 7, "{quota}");
}

#[test]
fn what_is_written_is_read_again_as_it_was_and_holds_no_more_than_was_set() {
    for config in [from_toml(WHOLE).unwrap(), StackConfig::default()] {
        let (toml, json) = (toml::to_string(&config).unwrap(), serde_json::to_string(&config));
        assert_eq!(from_toml(&toml).unwrap(), config, "{toml}");
        assert_eq!(from_json(&json.unwrap()).unwrap(), config);
    }
    assert_eq!(toml::to_string(&StackConfig::default()).unwrap(), "");
    let some =
        from_toml("plan = 'pro'\n[timeout]\nfile_read = '90s'\ncode_execute = 'none'").unwrap();
    assert_eq!(
        toml::to_string(&some).unwrap(),
        "plan = \"pro\"\n\n[timeout]\nfile_read = \"90s\"\ncode_execute = \"none\"\n"
    );
}

#[test]
fn what_a_file_cannot_say_is_rejected_when_it_is_written() {
    let mut config = StackConfig::default();
    config.quota.lease = Some(sandtower::stack::config::Time(Duration::from_micros(1_500)));
    let error = toml::to_string(&config).unwrap_err().to_string();
    assert!(error.contains("1.5ms is no whole number of milliseconds"), "{error}");
}

#[test]
fn an_empty_file_is_the_recommended_stack() {
    assert_eq!(from_toml("").unwrap(), StackConfig::default());
    assert_eq!(from_json("{}").unwrap(), StackConfig::default());
    let stack = build(StackConfig::default()).unwrap();
    assert!(stack.handles().snapshot().without.is_empty());
}

#[test]
fn json_is_read_as_well() {
    let json = r#"{"plan": "pro", "timeout": {"file_read": "10s"}, "retry": {"attempts": 2}}"#;
    let config = from_json(json).unwrap();
    assert_eq!(config.retry.attempts.unwrap().get(), 2);
    let limit = config.timeout.values().next().unwrap();
    assert_eq!(limit.0, Some(Duration::from_secs(10)));
    build(config).unwrap();
}

#[test]
fn what_cannot_be_read_is_rejected_by_its_whole_name_with_what_would_be_right() {
    let rejected = [
        (
            r#"{"retry": {"atempts": 3}}"#,
            "retry.atempts: unknown field `atempts`, expected one of `attempts`",
        ),
        (
            r#"{"retry": {"transient": {"first": "fast", "most": "1s"}}}"#,
            "retry.transient.first: invalid value: string \"fast\", expected a time such as \
             \"250ms\", \"30s\", \"2m\" or \"1h\"",
        ),
        (
            r#"{"timeout": {"file_read": "0s"}}"#,
            "timeout.file_read: invalid value: string \"0s\", expected a time such as \"250ms\", \
             \"30s\", \"2m\" or \"1h\", or \"none\"",
        ),
        (r#"{"timeout": {"files": "1s"}}"#, "no operation `files`; there are sandbox_create, "),
        (r#"{"plan": "free"}"#, "plan: unknown variant `free`, expected `hobby` or `pro`"),
        (r#"{"without": ["retries"]}"#, "without[0]: unknown variant `retries`, expected one of "),
        (
            r#"{"retry": {"attempts": 0}}"#,
            "retry.attempts: invalid value: integer `0`, expected a nonzero u32",
        ),
        (
            r#"{"admission": {"queue": "many"}}"#,
            "admission.queue: invalid type: string \"many\", expected u32",
        ),
    ];
    for (json, why) in rejected {
        let told = from_json(json).unwrap_err();
        assert!(told.contains(why), "{json}: {told}");
    }
    let told = from_toml("[retry]\nattempts = 0").unwrap_err();
    assert!(told.starts_with("retry.attempts: "), "{told}");
}

#[test]
fn what_makes_no_sense_is_rejected_by_its_name_with_what_would() {
    let rejected = [
        (
            r#"{"retry": {"transient": {"first": "10s", "most": "1s"}}}"#,
            "retry.transient: it waits 10s at first and 1s at most; let the first be no longer",
        ),
        (r#"{"retry": {"budget": {"ratio": 2, "cap": 10}}}"#, "retry.budget: "),
        (
            r#"{"circuit_breaker": {"probes": 0}}"#,
            "circuit_breaker: probes is 0: with none an open breaker never closes; use 1 or more",
        ),
        (
            r#"{"admission": {"concurrency": 0}}"#,
            "admission: the concurrency for every operation is 0",
        ),
        (r#"{"rate_limit": {"warn_at": [0]}}"#, "rate_limit: a warning at 0 % of a limit"),
        (r#"{"health_check": {"tries": 0}}"#, "health_check: a check without a probe"),
        (r#"{"quota": {"limit": 0}}"#, "quota: "),
        (
            r#"{"custom_plan": {"create_every": "0s", "sandboxes": 1, "concurrent_creates": 1}}"#,
            "rate_limit: the pace of `sandbox_create` has no interval",
        ),
    ];
    for (json, why) in rejected {
        let told = build(from_json(json).unwrap()).unwrap_err();
        assert!(told.starts_with(why), "{json}: {told}");
    }
}
