//! The stress test by the official Python SDK in real time: straight at the simulator, and through the
//! gateway. `--nocapture` shows the table of `docs/gateway.md`.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::time::Duration;

use sandtower_sim::{Config, Ledger, Plan, World as Constants};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::World;
use crate::python_sdk::{execute, python, today, urls};

/// Five times as fast as the stress world, and on the plan whose pace is five times as high.
const SCALE: f64 = 0.2;

/// What the script prints.
#[derive(Debug, Deserialize)]
struct Seen {
    done: u32,
    failed: u32,
    retries: u32,
    completed: u32,
    seconds: Vec<f64>,
    errors: std::collections::BTreeMap<String, u32>,
}

#[derive(Debug)]
struct Outcome {
    way: &'static str,
    seen: Seen,
    ledger: Ledger,
}

impl Outcome {
    /// Of the executions that ended, the share that succeeded.
    fn success(&self) -> f64 {
        f64::from(self.seen.done) / f64::from(self.seen.done + self.seen.failed)
    }

    /// The times of all queries without the scale, in order; one that has not ended is endless.
    fn times(&self) -> Vec<f64> {
        let mut all = self.seen.seconds.clone();
        all.resize(12, f64::INFINITY);
        all.sort_by(f64::total_cmp);
        all.into_iter().map(|seconds| seconds / SCALE).collect()
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| | executions done / failed | success | retries of the application | queries completed | query \
         time: median | longest | creations sent | left behind |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let (Outcome { way, seen, ledger }, times) = (outcome, outcome.times());
        let shown = |seconds: f64| match seconds.is_finite() {
            true => format!("{seconds:.0} s"),
            false => String::from("over 360 s"),
        };
        let (median, longest) = (shown(times[6]), shown(times[11]));
        writeln!(
            table,
            "| {way} | {} / {} | {:.0} % | {} | {} of 12 | {median} | {longest} | {} | {} |",
            seen.done,
            seen.failed,
            100.0 * outcome.success(),
            seen.retries,
            seen.completed,
            ledger.creates.received,
            ledger.active,
        )
        .unwrap();
    }
    table
}

/// The stress world, five times as fast.
fn world() -> Constants {
    let world = Constants::stress();
    let faster = |time: Duration| time.mul_f64(SCALE);
    Constants {
        create_median: faster(world.create_median),
        api_deadline: faster(world.api_deadline),
        late_work: faster(world.late_work),
        api_latency: faster(world.api_latency),
        envd_latency: faster(world.envd_latency),
        command_latency: faster(world.command_latency),
        ..world
    }
}

fn config() -> Config {
    Config::new().plan(Plan::Pro).world(world()).seed(1).epoch(today())
}

async fn straight(python: &OsStr) -> Outcome {
    let sim = config().build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    let environment = urls(server.address());
    let output = execute(python, "python_sdk/stress.py", &[&SCALE.to_string()], &environment).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = serde_json::from_slice(&output.stdout).unwrap();
    Outcome { way: "straight at E2B", seen, ledger: sim.ledger() }
}

async fn through_the_gateway(python: &OsStr) -> Outcome {
    let patience = format!("client_timeout={}s", 60.0 * SCALE);
    let world = World::over(config(), &[&patience]).await;
    let environment = urls(world.gateway.address());
    let printed =
        world.run(python, "python_sdk/stress.py", &[&SCALE.to_string()], &environment).await;
    let seen = serde_json::from_str(&printed).unwrap();
    Outcome { way: "through the gateway", seen, ledger: world.end().await }
}

#[test]
fn the_stress_test_of_the_python_sdk_passes_through_the_gateway_alone() {
    let Some(python) = python() else { return };
    let runtime = Runtime::new().unwrap();
    let outcomes =
        runtime.block_on(async { [straight(&python).await, through_the_gateway(&python).await] });
    let [straight, through] = &outcomes;
    println!("{}{:?}\n{:?}", table(&outcomes), straight.seen.errors, through.seen.errors);
    assert!(straight.success() < 0.6, "{straight:?}");
    assert_eq!(through.seen.completed, 12, "{through:?}");
    assert!(through.success() >= 0.95, "{through:?}");
    assert_eq!(through.ledger.active, 0);
    assert!(through.times()[11] < straight.times()[11], "{outcomes:?}");
}
