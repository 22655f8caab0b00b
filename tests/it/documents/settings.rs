use std::sync::{Arc, Mutex};

use sandtower::core::{Operation, Seed};
use sandtower::e2b::{Config, operation as op};
use sandtower::stack::{Builder, Stack, StackConfig};

use super::{read, table};

/// Each type with a table in `docs/settings.md`, and its source.
const TYPES: &[(&str, &str)] = &[
    ("retry::Config", "sandtower-retry/src/config.rs"),
    ("circuit_breaker::Config", "sandtower-circuit-breaker/src/config.rs"),
    ("circuit_breaker::Cusum", "sandtower-circuit-breaker/src/trip.rs"),
    ("rate_limit::Config", "sandtower-rate-limit/src/config.rs"),
    ("admission::Config", "sandtower-admission/src/config.rs"),
    ("admission::QuotaConfig", "sandtower-admission/src/quota/config.rs"),
    ("health_check::Config", "sandtower-health-check/src/config.rs"),
    ("health_check::MonitorConfig", "sandtower-health-check/src/monitor/config.rs"),
    ("pool::Config", "sandtower-pool/src/config/setters.rs"),
    ("fallback::FailoverConfig", "sandtower-fallback/src/failover/config.rs"),
    ("e2b::Timeouts", "sandtower-e2b/src/api/timeouts.rs"),
    ("e2b::Config", "sandtower-e2b/src/api/config.rs"),
    ("e2b::Timing", "sandtower-e2b/src/tracking/timing.rs"),
    ("e2b::HttpTransportBuilder", "sandtower-e2b/src/transport/http/builder.rs"),
];

#[test]
fn every_setting_is_in_its_table_and_no_other() {
    let document = read("docs/settings.md");
    for (name, path) in TYPES {
        let heading = document.lines().find(|line| line.ends_with(&format!(": `{name}`")));
        let heading = heading.unwrap_or_else(|| panic!("no heading for {name}"));
        let listed: Vec<String> =
            table(&document, heading).into_iter().map(|mut row| row.swap_remove(0)).collect();
        let (setters, all) = functions(&read(format!("crates/{path}")));
        // `inherit` sets what a file does not.
        for setter in setters.into_iter().filter(|setter| setter != "inherit") {
            assert!(listed.contains(&setter), "{name}: {setter} is not listed");
        }
        for listed in listed {
            assert!(all.contains(&listed), "{name}: there is no {listed}");
        }
    }
}

/// The public functions that change a value and return it, and all public ones.
fn functions(source: &str) -> (Vec<String>, Vec<String>) {
    let (mut setters, mut all) = (Vec::new(), Vec::new());
    for (at, _) in source.match_indices("fn ") {
        let before = source[..at].rsplit('\n').next().unwrap_or_default().trim();
        if !["pub", "pub const"].contains(&before) {
            continue;
        }
        let (name, rest) = source[at + 3..].split_once('(').unwrap();
        let name = name.split('<').next().unwrap_or(name).to_owned();
        let signature = rest.split('{').next().unwrap_or_default();
        let (arguments, returned) = signature.split_once("->").unwrap_or((signature, ""));
        let takes_self = ["self", "mut self"].iter().any(|word| arguments.trim().starts_with(word));
        if takes_self && returned.contains("Self") {
            setters.push(name.clone());
        }
        all.push(name);
    }
    (setters, all)
}

/// The file in the document.
fn file() -> String {
    let document = read("docs/settings.md");
    let (_, file) = document.split_once("```toml\n").unwrap();
    file.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_file_in_the_document_is_the_recommended_stack() {
    let file = file();
    let config = StackConfig::read(toml::Deserializer::parse(&file).unwrap()).unwrap();
    let from_file = described(builder().configure(config).unwrap());
    for (from_file, recommended) in from_file.iter().zip(described(builder())) {
        assert_eq!(*from_file, recommended);
    }
}

#[test]
fn the_file_in_the_document_with_a_conflicting_setting_is_rejected_by_both_names() {
    let file = file();
    for (from, to, name) in [
        ("# limit = 20", "limit = 20", "quota.limit"),
        ("paces = {}", "paces = { sandbox_create = '1s' }", "rate_limit.paces.sandbox_create"),
        (
            "concurrency_for = {}",
            "concurrency_for = { sandbox_create = 2 }",
            "admission.concurrency_for.sandbox_create",
        ),
        ("# custom_plan", "custom_plan", "plan: conflicts with `custom_plan`"),
    ] {
        assert!(file.contains(from), "{from}");
        let twice = file.replace(from, to);
        let error = StackConfig::read(toml::Deserializer::parse(&twice).unwrap()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(name) && error.contains("plan`"), "{error}");
    }
}

fn builder() -> Builder {
    Stack::builder(Config::new("e2b_0123").unwrap())
}

/// The configurations of all components, as they are built.
fn described(builder: Builder) -> [String; 7] {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = {
        let seen = Arc::clone(&seen);
        move |text: String| seen.lock().unwrap().push(text)
    };
    let [a, b, c, d, e, f, g] = std::array::from_fn(|_| see.clone());
    let seed = || Seed::fixed(1);
    let builder = builder.timeouts(move |part| {
        let calls: Vec<_> = every(|operation| part.call_of(operation));
        a(format!("{calls:?} {:?}", every(|operation| part.attempt_of(operation))));
        part
    });
    let builder = builder.retry(move |part| {
        b(format!("{part:?}"));
        part
    });
    let builder = builder.health_check(move |part| {
        c(format!("{part:?}"));
        part
    });
    let builder = builder.admission(move |part| {
        d(format!("{part:?}"));
        part
    });
    let builder = builder.quota(move |part| {
        e(format!("{:?}", part.clone().seed(seed())));
        part
    });
    let builder = builder.rate_limit(move |part| {
        f(format!("{:?}", part.clone().seed(seed())));
        part
    });
    let builder = builder.circuit_breaker(move |part| {
        g(format!("{:?}", part.clone().seed(seed())));
        part
    });
    drop(builder.build().unwrap());
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.try_into().unwrap()
}

fn every<T>(of: impl Fn(Operation) -> T) -> Vec<T> {
    op::ALL.iter().map(|operation| of(*operation)).collect()
}

#[test]
fn the_file_in_the_document_has_every_key() {
    let file = file();
    let sections = [
        "/?",
        "/custom_plan/?",
        "/retry/?",
        "/retry/transient/?",
        "/retry/budget/?",
        "/health_check/?",
        "/admission/?",
        "/quota/?",
        "/quota/probe/?",
        "/rate_limit/?",
        "/circuit_breaker/?",
        "/circuit_breaker/trip/?",
        "/circuit_breaker/trip/evidence/?",
        "/monitor/?",
        "/pool/?",
    ];
    for section in sections {
        let names = keys(section);
        assert!(names.len() > 1, "{section}: {names:?}");
        for name in names {
            let there = file.contains(&format!("{name} = ")) || file.contains(&format!("[{name}]"));
            assert!(there, "{section}: {name} is not in the file");
        }
    }
}

/// The keys of a section, from the error for an unknown one.
fn keys(section: &str) -> Vec<String> {
    let mut value = serde_json::json!(1);
    for name in section.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
        value = serde_json::json!({ name: value });
    }
    let error = StackConfig::read(value).unwrap_err().to_string();
    let (_, known) = error.split_once("expected ").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
