//! The official Python SDK, unmodified, works against the simulator.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::{
    env,
    ffi::{OsStr, OsString},
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};

use sandtower_sim::{Config, End, Plan, Sim};
use tokio::{process::Command, runtime::Runtime, time};

/// The interpreter of an environment with the packages of `python_sdk/requirements.txt`.
const PYTHON: &str = "SANDTOWER_PYTHON";

/// What `python_sdk/tour.py` prints.
pub(crate) const TOUR: &str = "life\ncommands\nfiles\nwatching\nsecured\npause\nfilters\nmetadata\nsnapshots\n\
     boots\nnetwork\ntemplates\nrefuses\nat_once\n";

/// How long a script may take; the longest takes six seconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(180);

#[test]
fn the_python_sdk_creates_runs_and_kills() {
    let Some(python) = python() else { return };
    let ledger = passes(&python, "python_sdk/echo.py", "done\n").ledger();
    assert_eq!((ledger.creates.received, ledger.creates.created), (1, 1), "{ledger:?}");
    let sandbox = &ledger.sandboxes[0];
    assert_eq!((sandbox.end, sandbox.call.as_deref()), (End::Killed, Some("python-sdk")));
    assert!(sandbox.seen_alive_at.is_some());
    assert_eq!(ledger.requests["sandbox_kill"], 2);
}

#[test]
fn the_python_sdk_works_as_against_e2b() {
    let Some(python) = python() else { return };
    let ledger = passes(&python, "python_sdk/tour.py", TOUR).ledger();
    assert_eq!((ledger.active, ledger.paused), (0, 0), "{ledger:?}");
}

#[test]
fn the_asynchronous_python_sdk_does_too() {
    let Some(python) = python() else { return };
    let parts = "life\ncommands\nfiles\nsnapshots\npauses\nat_once\n";
    let ledger = passes(&python, "python_sdk/tour_async.py", parts).ledger();
    assert_eq!((ledger.active, ledger.paused), (0, 0), "{ledger:?}");
}

#[test]
fn the_python_sdk_raises_each_of_its_exceptions() {
    let Some(python) = python() else { return };
    passes(&python, "python_sdk/errors.py", "done\n");
}

#[test]
fn the_python_sdk_runs_code_in_contexts() {
    let Some(python) = python() else { return };
    passes(&python, "python_sdk/code.py", "done\n");
}

/// The interpreter to use; without one the test is left out, but never in CI.
pub(crate) fn python() -> Option<OsString> {
    if let Some(python) = env::var_os(PYTHON).filter(|python| !python.is_empty()) {
        return Some(python);
    }
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{PYTHON} is not set");
    leave_out("python_sdk", PYTHON);
    None
}

/// Reports that a test is left out because a variable is not set.
pub(crate) fn leave_out(test: &str, variable: &str) {
    let left_out = format!("left out: {test}: {variable} is not set (cargo xtask test sets it)\n");
    // Not by a print macro, which is captured: the message has to be seen.
    std::io::stderr().write_all(left_out.as_bytes()).unwrap();
}

/// Runs a script against a new simulator; it must succeed and print exactly this.
pub(crate) fn passes(program: &OsStr, script: &str, prints: &str) -> Sim {
    let runtime = Runtime::new().unwrap();
    let (sim, output) = runtime.block_on(run(program, script));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{stderr}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), prints, "{stderr}");
    sim
}

async fn run(program: &OsStr, script: &str) -> (Sim, Output) {
    let sim = Config::new().plan(Plan::Pro).template_with_envd("old", "0.0.9");
    let sim = sim.epoch(today()).build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    let output = execute(program, script, &[], &urls(server.address())).await;
    server.shutdown().await.unwrap();
    (sim, output)
}

#[expect(clippy::disallowed_methods, reason = "the SDKs compare dates with their own calendar")]
pub(crate) fn today() -> SystemTime {
    SystemTime::now()
}

/// How the SDKs reach an E2B at this address.
pub(crate) fn urls(address: SocketAddr) -> Vec<(&'static str, String)> {
    let url = format!("http://{address}");
    vec![("E2B_API_URL", url.clone()), ("E2B_SANDBOX_URL", url)]
}

/// Runs a script that reaches its E2B by this environment.
pub(crate) async fn execute(
    program: &OsStr,
    script: &str,
    arguments: &[&str],
    environment: &[(&'static str, String)],
) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it").join(script);
    let mut command = Command::new(program);
    // Without the developer's own E2B settings and proxies.
    for (name, _) in env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("E2B_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    let child = command
        .arg(script)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("E2B_API_KEY", "e2b_0000000000000000000000000000000000000000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let output = time::timeout(TIMEOUT, child.wait_with_output()).await;
    output.unwrap_or_else(|_| panic!("still running after {TIMEOUT:?}")).unwrap()
}
