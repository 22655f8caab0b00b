//! The official Python SDK, unmodified, takes the simulator for E2B.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::{
    env,
    ffi::{OsStr, OsString},
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use sandtower_sim::{Config, End, Sim, serve};
use tokio::{net::TcpListener, process::Command, runtime::Runtime, sync::oneshot, time};

/// The interpreter of an environment in which `python_sdk/requirements.txt` is installed.
const PYTHON: &str = "SANDTOWER_PYTHON";

/// How long a script may take; it takes a second.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn the_python_sdk_creates_runs_and_kills() {
    let Some(python) = python() else { return };
    let runtime = Runtime::new().unwrap();
    let (sim, output) = runtime.block_on(run(&python, "echo.py"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{stderr}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{stderr}");

    let ledger = sim.ledger();
    assert_eq!((ledger.creates.received, ledger.creates.created), (1, 1), "{ledger:?}");
    let sandbox = &ledger.sandboxes[0];
    assert_eq!((sandbox.end, sandbox.call.as_deref()), (End::Killed, Some("python-sdk")));
    assert!(sandbox.seen_alive_at.is_some());
    assert_eq!(ledger.requests["sandbox_kill"], 2);
}

/// The interpreter to use; without one the test is left out, but never in CI.
fn python() -> Option<OsString> {
    if let Some(python) = env::var_os(PYTHON).filter(|python| !python.is_empty()) {
        return Some(python);
    }
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{PYTHON} is not set");
    let left_out =
        format!("left out: python_sdk: {PYTHON} is not set (cargo xtask test sets it)\n");
    // Not a macro's print, which is captured: nobody would see that nothing was tested.
    std::io::stderr().write_all(left_out.as_bytes()).unwrap();
    None
}

/// Runs a script of `python_sdk` against a fresh simulator.
async fn run(python: &OsStr, script: &str) -> (Sim, Output) {
    let sim = Config::new().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, sim.clone(), async { drop(stopped.await) }));
    let output = execute(python, script, address).await;
    drop(stop);
    server.await.unwrap().unwrap();
    (sim, output)
}

async fn execute(python: &OsStr, script: &str, address: SocketAddr) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/python_sdk").join(script);
    let url = format!("http://{address}");
    let mut command = Command::new(python);
    // Nothing of the developer's own E2B settings, nor of a proxy.
    for (name, _) in env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("E2B_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    let child = command
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("E2B_API_URL", &url)
        .env("E2B_SANDBOX_URL", &url)
        .env("E2B_API_KEY", "e2b_0000000000000000000000000000000000000000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", python.display()));
    let output = time::timeout(TIMEOUT, child.wait_with_output()).await;
    output.unwrap_or_else(|_| panic!("still running after {TIMEOUT:?}")).unwrap()
}
