//! A stack from a configuration file, and the errors of an invalid one.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use sandtower::e2b::{Config, operation as op};
use sandtower::stack::{Component, Plan, Stack, StackConfig};

fn from_toml(text: &str) -> Result<StackConfig, String> {
    let text = toml::Deserializer::parse(text).map_err(|error| error.to_string())?;
    StackConfig::read(text).map_err(|error| error.to_string())
}

fn from_json(text: &str) -> Result<StackConfig, String> {
    let mut text = serde_json::Deserializer::from_str(text);
    StackConfig::read(&mut text).map_err(|error| error.to_string())
}

fn build(config: StackConfig) -> Result<Stack, String> {
    let builder = Stack::builder(Config::new("e2b_0123").unwrap())
        .configure(config)
        .map_err(|error| error.to_string())?;
    builder.build().map_err(|error| error.to_string())
}

const WHOLE: &str = r#"
    preset = "classic"
    default_template = "base"
    disable = ["health_check", "retry"]

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
    when_throttled = "requeue"
    budget = { ratio = 0.5, cap = 20, costs = [1, 2, 0.5] }

    [health_check]
    probe = "health"
    on_failure = "discard"
    tries = 2
    probe_within = "5s"
    pause = "100ms"

    [admission]
    concurrency = { adaptive = { initial = 4, ceiling = 32, tolerance = 1.5 } }
    concurrency_for = { file_read = 8, file_write = { stepwise = { ceiling = 4 } } }
    queue = 100
    newest_first_after = "2s"
    newest_first_after_for = { file_read = "500us" }
    longest_wait = "1m"
    admit_during_shutdown = ["sandbox_kill", "sandbox_list"]
    slots_to_the_end = true

    [quota]
    probe = { first = "1s", most = "1m" }
    lease = "90s"

    [rate_limit]
    window = "30m"
    shadow = false
    limit_each = 1_000
    limits = { sandbox_create = 50 }
    paces = { sandbox_create = "2s", file_read = { every = "10ms", burst = 5 } }
    exempt = ["sandbox_kill"]
    warn_at = [90, 50]
    warn_margin = 2
    longest_hold = "20s"
    believed_for = "5m"

    [circuit_breaker]
    trip = { evidence = { good_day = 0.2, outage = 0.6, half_life = "1m" } }
    open_for = { first = "2s", most = "1m" }
    stable_after = "2m"
    longest_open = "4m"
    probes = 2
    successes = 2
    ramp = 8
    lease = "90s"
    expected = "none"

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
    assert_eq!(snapshot.disabled, [Component::HealthCheck, Component::Retry]);
    assert!(snapshot.default_template.is_some());
    assert!(snapshot.monitor.is_some());
    assert_eq!(stack.handles().rate_limit.status(op::SANDBOX_CREATE).limit, Some(50));
    assert_eq!(stack.handles().rate_limit.status(op::FILE_READ).limit, Some(1_000));
    let quota = serde_json::to_value(stack.handles().quota.snapshot()).unwrap();
    assert_eq!(quota["limit"], 1_100, "{quota}");
}

#[test]
fn a_written_file_has_what_was_set_and_is_read_back() {
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
        "plan = \"pro\"\n\n[timeout]\ncode_execute = \"none\"\nfile_read = \"90s\"\n"
    );
}

#[test]
fn an_empty_file_is_the_recommended_stack() {
    assert_eq!(from_toml("").unwrap(), StackConfig::default());
    assert_eq!(from_json("{}").unwrap(), StackConfig::default());
    let stack = build(StackConfig::default()).unwrap();
    assert!(stack.handles().snapshot().disabled.is_empty());
}

#[test]
fn json_is_read_as_well() {
    let json = r#"{"plan": "pro", "timeout": {"file_read": "10s"}, "retry": {"attempts": 2}}"#;
    assert_eq!(from_json(json).unwrap().plan, Some(Plan::Pro));
    build(from_json(json).unwrap()).unwrap();
}

#[test]
fn conflicting_settings_are_rejected_by_both_names() {
    let custom = r#""custom_plan":
        {"create_every": "1s", "sandboxes": 7, "concurrent_creates": 1}"#;
    let planned = [
        ("quota.limit", r#""quota": {"limit": 7}"#),
        ("rate_limit.paces.sandbox_create", r#""rate_limit": {"paces": {"sandbox_create": "2s"}}"#),
        (
            "admission.concurrency_for.sandbox_create",
            r#""admission": {"concurrency_for": {"sandbox_create": 7}}"#,
        ),
    ];
    for (plan, set) in [("plan", r#""plan": "pro""#), ("custom_plan", custom)] {
        for (name, twice) in planned {
            let error = from_json(&format!("{{{set}, {twice}}}")).unwrap_err();
            let why = format!("{name}: conflicts with `{plan}`; remove `{name}`");
            assert!(error.starts_with(&why), "{error}");
            from_json(&format!("{{{twice}}}")).unwrap();
        }
        // Not set by the plan.
        let paces = r#""rate_limit": {"paces": {"sandbox_create": "2s"}}"#;
        from_json(&format!(r#"{{"preset": "classic", {set}, {paces}}}"#)).unwrap();
        let of_others = r#""admission": {"concurrency_for": {"file_read": 7}}"#;
        from_json(&format!("{{{set}, {of_others}}}")).unwrap();
    }
    let error = from_json(&format!(r#"{{"plan": "pro", {custom}}}"#)).unwrap_err();
    assert_eq!(error, "plan: conflicts with `custom_plan`; remove `plan` or `custom_plan`");

    let twice = [
        (r#"{"plan": "pro", "plan": "hobby"}"#, "the file: duplicate field `plan`"),
        (r#"{"retry": {}, "retry": {}}"#, "the file: `retry` is set twice; remove one of them"),
        (r#"{"retry": {"attempts": 1, "attempts": 2}}"#, "`retry.attempts` is set twice"),
        (
            r#"{"timeout": {"file_read": "1s", "file_read": "2s"}}"#,
            "`timeout.file_read` is set twice",
        ),
        (
            r#"{"retry": {"budget": {"ratio": 1, "cap": 1, "cap": 2}}}"#,
            "`retry.budget.cap` is set twice",
        ),
        (
            r#"{"circuit_breaker": {"trip": {"evidence": {}, "consecutive_failures": 5}}}"#,
            "circuit_breaker.trip",
        ),
    ];
    for (json, why) in twice {
        let error = from_json(json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn an_unreadable_setting_is_rejected_by_its_full_name_with_what_would_be_valid() {
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
            "timeout.file_read: must be greater than zero; \"none\" is no limit",
        ),
        (
            r#"{"deadline": {"file_read": 5}}"#,
            "deadline.file_read: invalid type: integer `5`, expected a string",
        ),
        (
            r#"{"timeout": {"files": "1s"}}"#,
            "timeout: unknown operation `files`, expected one of sandbox_create, ",
        ),
        (
            r#"{"admission": {"concurrency_for": {"files": 1}}}"#,
            "admission.concurrency_for: unknown operation `files`, expected one of sandbox_create, ",
        ),
        (
            r#"{"rate_limit": {"exempt": ["files"]}}"#,
            "rate_limit.exempt: unknown operation `files`, expected one of sandbox_create, ",
        ),
        (
            r#"{"admission": {"concurrency": "many"}}"#,
            "admission.concurrency: expected a number, `{ adaptive = {..} }` or `{ stepwise = {..} }`",
        ),
        (
            r#"{"rate_limit": {"paces": {"file_read": 1}}}"#,
            "rate_limit.paces.file_read: expected a time such as \"200ms\" or \"1s\", or `{ every = ",
        ),
        (
            r#"{"circuit_breaker": {"open_for": {"first": "1s"}}}"#,
            "circuit_breaker.open_for: expected a time such as \"60s\", or `{ first = ",
        ),
        (
            r#"{"circuit_breaker": {"trip": {"failures": 5}}}"#,
            "circuit_breaker.trip: unknown variant `failures`, expected `evidence` or \
             `consecutive_failures`",
        ),
        (
            r#"{"health_check": {"probe": "ping"}}"#,
            "health_check.probe: unknown variant `ping`, expected `command` or `health`",
        ),
        (
            r#"{"circuit_breaker": {"name": "mine"}}"#,
            "circuit_breaker.name: unknown field `name`, expected one of `trip`",
        ),
        (
            r#"{"retries": {"attempts": 2}}"#,
            "retries: unknown field `retries`, expected one of `preset`, `plan`, ",
        ),
        (r#"{"retry": 5}"#, "retry: must be a section, not 5"),
        (r#"{"plan": "free"}"#, "plan: unknown variant `free`, expected `hobby` or `pro`"),
        (r#"{"disable": ["retries"]}"#, "disable[0]: unknown variant `retries`, expected one of "),
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
        let error = from_json(json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    }
    let error = from_toml("[retry]\nattempts = 0").unwrap_err();
    assert!(error.starts_with("retry.attempts: "), "{error}");
}

#[test]
fn an_invalid_setting_is_rejected_by_its_name_with_what_would_be_valid() {
    let rejected = [
        (
            r#"{"retry": {"transient": {"first": "10s", "most": "1s"}}}"#,
            "retry.transient: `first` is 10s; it must be at most `most`, 1s",
        ),
        (
            r#"{"retry": {"budget": {"ratio": 2, "cap": 10}}}"#,
            "retry.budget: `ratio` is 2 of a token",
        ),
        (
            r#"{"circuit_breaker": {"probes": 0}}"#,
            "circuit_breaker: `probes` must be at least 1: with 0 an open breaker never closes",
        ),
        (
            r#"{"admission": {"concurrency": 0}}"#,
            "admission: the concurrency for every operation is 0",
        ),
        (
            r#"{"rate_limit": {"warn_at": [0]}}"#,
            "rate_limit: `warn_at` has 0 %, and must have from 1",
        ),
        (r#"{"health_check": {"tries": 0}}"#, "health_check: `tries` must be at least 1"),
        (r#"{"quota": {"limit": 0}}"#, "quota: the `limit` of a quota must be at least 1"),
        (
            r#"{"circuit_breaker": {"open_for": {"first": "2s", "most": "1s"}}}"#,
            "circuit_breaker: the first open time must be at most the longest, not 2s before 1s",
        ),
        (
            r#"{"circuit_breaker": {"trip": {"consecutive_failures": 0}}}"#,
            "circuit_breaker: `consecutive_failures` must be at least 1",
        ),
        (
            r#"{"admission": {"concurrency_for": {"file_read": {"adaptive": {"tolerance": 1}}}}}"#,
            "admission: the tolerance for file_read is 1; it must be a number greater than 1",
        ),
        (
            r#"{"custom_plan": {"create_every": "0s", "sandboxes": 1, "concurrent_creates": 1}}"#,
            "rate_limit: the pace of `sandbox_create` has an interval of 0",
        ),
    ];
    for (json, why) in rejected {
        let error = from_json(json).and_then(build).unwrap_err();
        assert!(error.starts_with(why), "{json}: {error}");
    }
}
