//! The official SDKs, unmodified, through the gateway: whole tours, and while much goes wrong.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

mod domain;
mod keys;
mod places;
mod stress;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_gateway::Gateway;
use sandtower_gateway::config::Source;
use sandtower_sim::{Config, Ledger, Plan, Server, Sim};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::js_sdk;
use crate::python_sdk::{self, execute, python, today, urls};

/// The tests of exceptions wait for a second, and one failure must not be the next one's.
const IMPATIENT: &[&str] =
    &["client_timeout=1s", r#"stack.disable=["retry", "rate_limit", "quota", "circuit_breaker"]"#];

#[test]
fn the_python_sdk_cannot_tell_the_gateway_from_e2b() {
    let Some(python) = python() else { return };
    for (script, prints) in [
        ("python_sdk/tour.py", python_sdk::TOUR),
        ("python_sdk/tour_async.py", "life\ncommands\nfiles\nsnapshots\npauses\nat_once\n"),
        ("python_sdk/code.py", "done\n"),
    ] {
        let (ledger, printed) = run(&python, script, &[], &[], json!([]));
        assert_eq!(printed, prints, "{script}");
        assert_eq!(ledger.paused, 0, "{script}: {ledger:?}");
    }
}

#[test]
fn the_js_sdk_cannot_either() {
    if !js_sdk::is_set_up() {
        return;
    }
    for (script, prints) in [("js_sdk/tour.mjs", js_sdk::TOUR), ("js_sdk/code.mjs", "done\n")] {
        let (_, printed) = run(OsStr::new("node"), script, &[], &[], json!([]));
        assert_eq!(printed, prints, "{script}");
    }
}

#[test]
fn the_sdks_raise_each_of_their_exceptions() {
    if let Some(python) = python() {
        let (_, printed) = run(&python, "python_sdk/errors.py", &[], IMPATIENT, json!([]));
        assert_eq!(printed, "done\n");
    }
    if js_sdk::is_set_up() {
        let (_, printed) = run(OsStr::new("node"), "js_sdk/errors.mjs", &[], IMPATIENT, json!([]));
        assert_eq!(printed, "done\n");
    }
}

/// Warm sandboxes for whatever is created twice.
const WITH_POOL: &[&str] = &["stack.pool.max=6", "stack.pool.idle_for=60s"];

#[test]
fn with_a_warm_pool_the_sdks_cannot_tell_either() {
    if let Some(python) = python() {
        let tours = [
            ("python_sdk/tour.py", python_sdk::TOUR),
            ("python_sdk/tour_async.py", "life\ncommands\nfiles\nsnapshots\npauses\nat_once\n"),
            ("python_sdk/code.py", "done\n"),
        ];
        for (script, prints) in tours {
            let (ledger, printed) = run(&python, script, &[], WITH_POOL, json!([]));
            assert_eq!(printed, prints, "{script}");
            assert_eq!(ledger.paused, 0, "{script}: {ledger:?}");
        }
    }
    if js_sdk::is_set_up() {
        for (script, prints) in [("js_sdk/tour.mjs", js_sdk::TOUR), ("js_sdk/code.mjs", "done\n")] {
            let (_, printed) = run(OsStr::new("node"), script, &[], WITH_POOL, json!([]));
            assert_eq!(printed, prints, "{script}");
        }
    }
}

#[test]
fn with_a_warm_pool_a_creation_by_the_sdk_takes_less_time() {
    let Some(python) = python() else { return };
    let median = |settings: &[&str]| -> f64 {
        let slow =
            json!([{"name": "slow", "kind": "slow", "on": ["sandbox_create"], "lasting": "1s"}]);
        let (_, printed) = run(&python, "python_sdk/pool.py", &["10"], settings, slow);
        printed.trim().parse().unwrap()
    };
    let (without, with) = (median(&[]), median(WITH_POOL));
    println!("a creation takes {without} ms, and {with} ms with the pool");
    assert!(without >= 1_000.0 && with < without / 2.0, "{without} ms, {with} ms with the pool");
}

/// A tenth of all calls of the control plane fails, of a fifth of the creations the response is lost,
/// connections are reset, and for 20 s nothing responds.
fn storm() -> Value {
    json!([
        {"name": "500", "kind": "respond", "response": "internal_500", "on": ["control"], "rate": 0.1},
        {"name": "lost", "kind": "lose", "on": ["sandbox_create"], "rate": 0.2},
        {"name": "reset", "kind": "reset", "rate": 0.02},
        {"name": "outage", "kind": "reset", "from": "5s", "until": "25s"},
    ])
}

#[test]
fn while_much_goes_wrong_each_call_succeeds_or_raises_the_sdks_own() {
    if let Some(python) = python() {
        survives(&python, "python_sdk/storm.py", &["6", "5"]);
    }
    if js_sdk::is_set_up() {
        survives(&OsString::from("node"), "js_sdk/storm.mjs", &["6", "5"]);
    }
}

/// Every creation is tried again until it succeeds, and at the end nothing is left.
fn survives(program: &OsStr, script: &str, arguments: &[&str]) {
    let (ledger, printed) = run(program, script, arguments, &[], storm());
    assert_eq!(ledger.active, 0, "{script}: {printed}\n{ledger:?}");
    let ok = printed.split_whitespace().find_map(|count| count.strip_prefix("ok="));
    let ok: u32 = ok.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(ok >= 100, "{script}: {printed}");
}

/// Runs a script through a gateway: what the simulator knows once the gateway has shut down, and what was
/// printed.
fn run(
    program: &OsStr,
    script: &str,
    arguments: &[&str],
    settings: &[&str],
    faults: Value,
) -> (Ledger, String) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new(settings).await;
        world.sim.set_faults(serde_json::from_value(faults).unwrap()).unwrap();
        let printed = world.run(program, script, arguments, &urls(world.gateway.address())).await;
        (world.end().await, printed)
    })
}

/// What a gateway logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The lines with this in them.
    fn count(&self, text: &str) -> usize {
        let log = self.0.lock().unwrap();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A gateway over a simulator.
struct World {
    sim: Sim,
    gateway: Gateway,
    log: Log,
    source: Source,
    _server: Server,
}

impl World {
    async fn new(settings: &[&str]) -> Self {
        let sim = Config::new().plan(Plan::Pro).template_with_envd("old", "0.0.9");
        Self::over(sim.epoch(today()), settings).await
    }

    async fn over(sim: Config, settings: &[&str]) -> Self {
        let sim: Sim = sim.build().unwrap();
        let server = sim.listen("127.0.0.1:0").await.unwrap();
        let url = server.url();
        let own = [
            format!("upstream.api_url={url}"),
            format!("upstream.sandbox_url={url}"),
            "upstream.proxy=none".to_owned(),
            "listen=127.0.0.1:0".to_owned(),
            "workers=2".to_owned(),
            "stack.plan=pro".to_owned(),
            "access_log.requests=all".to_owned(),
        ];
        let all = own.iter().map(String::as_str).chain(settings.iter().copied());
        let source =
            all.into_iter().try_fold(Source::new(), |source, setting| source.set(setting)).unwrap();
        let log = Log::default();
        let gateway = Gateway::start_logging(source.read().unwrap(), log.clone()).unwrap();
        Self { sim, gateway, log, source, _server: server }
    }

    /// Runs a script, which has to succeed: what it prints.
    async fn run(
        &self,
        program: &OsStr,
        script: &str,
        arguments: &[&str],
        environment: &[(&'static str, String)],
    ) -> String {
        let output = execute(program, script, arguments, environment).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}:\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Shuts the gateway down: what the simulator knows then.
    async fn end(self) -> Ledger {
        self.sim.set_faults(Vec::new()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(200), self.gateway.shutdown()).await;
        assert_eq!(ended, Ok(true), "nothing is in flight, and no orphan is left");
        self.sim.ledger()
    }
}
