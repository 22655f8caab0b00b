//! Hand-outs by the thousand in virtual time, over a service where everything goes wrong, from processes that
//! are killed.
//!
//! 1,500 by default; `SANDTOWER_HAND_OUTS=100000 cargo test --release -p tests --test it -- pool::soak` for more.

mod check;
mod process;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use sandtower::E2b;
use sandtower::core::Rng;
use sandtower::e2b::{CALL_KEY, NewSandbox, POOL_KEY};
use sandtower_sim::{Fault, FaultKind, Limits, Rate, Sim, World};
use tower::ServiceExt;

use check::Run;
use process::{Process, Seen};

const MAX: u32 = 12;
const BUDGET: f64 = 1.0;
/// The most creations of a pool in flight at a time: as many as it may have in stock.
const IN_FLIGHT: u32 = 10;
const IDLE_FOR: Duration = Duration::from_secs(120);
const ASKED: Duration = Duration::from_secs(60);
/// The first second of 2026, where the dates of the simulator begin.
const EPOCH: i64 = 1_767_225_600;

fn fault(kind: FaultKind, on: &str, rate: f64) -> Fault {
    let mut fault = Fault::new(format!("{kind:?} {on}"), kind);
    fault.on = if on.is_empty() { Vec::new() } else { vec![on.to_owned()] };
    fault.rate = rate;
    fault
}

fn simulator(seed: u64) -> Sim {
    let world = World { create_median: Duration::from_secs(1), ..World::calm() };
    let mut dies = fault(FaultKind::Die, "", 0.05);
    dies.lasting = Some(Duration::from_secs(20));
    let faults = vec![
        fault(FaultKind::Zombie, "", 0.03),
        dies,
        fault(FaultKind::Lag, "", 0.2),
        fault(FaultKind::Lose, "sandbox_create", 0.03),
        fault(FaultKind::Lose, "sandbox_connect", 0.03),
        fault(FaultKind::Lose, "sandbox_kill", 0.03),
        fault(FaultKind::Reset, "envd_process", 0.02),
    ];
    let limits = Limits {
        create: Rate::new(Duration::from_millis(50), 100),
        concurrent_sandboxes: 200,
        ..sandtower_sim::Plan::Pro.limits()
    };
    let config = sandtower_sim::Config::new().seed(seed).world(world).faults(faults);
    let config = config.call_key(CALL_KEY);
    config.limits(limits).ledger_capacity(2_000_000).build().unwrap()
}

/// Which sandboxes callers got, and when.
type HandedOut = Arc<Mutex<Vec<(String, Duration)>>>;

async fn caller(e2b: E2b, sim: Sim, handed_out: HandedOut, mut rng: Rng) {
    let new = NewSandbox::new("base").timeout(ASKED);
    let call = e2b.create(&new);
    let created = if rng.f64() < 0.1 {
        // It leaves at any moment of the hand-out.
        let patience = Duration::from_micros(rng.u64(0..60_000));
        tokio::time::timeout(patience, call).await.ok()
    } else {
        Some(call.await)
    };
    let Some(Ok(sandbox)) = created else { return };
    handed_out.lock().unwrap().push((sandbox.id().to_string(), sim.elapsed()));
    tokio::time::sleep(Duration::from_secs(rng.u64(0..10))).await;
    // Some leave it to its lifetime.
    if rng.f64() < 0.9 {
        drop(e2b.kill(sandbox.id()).await);
    }
}

/// The stock as the service has it: what was created for it and ends when stock ends.
async fn stock(sim: &Sim) -> usize {
    let request = Request::get("http://e2b.test/v2/sandboxes?limit=100")
        .header("x-api-key", crate::pool::KEY);
    let response = sim.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()).await;
    let Ok(response) = response else { return 0 };
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let all: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap_or_default();
    let is_stock = |info: &&serde_json::Value| {
        let date = |name: &str| date(info[name].as_str().unwrap());
        let lives = date("endAt") - date("startedAt");
        let lifetime = i64::try_from(IDLE_FOR.as_secs()).unwrap();
        info["metadata"].get(POOL_KEY).is_some() && (lives - lifetime).abs() <= 1
    };
    all.iter().filter(is_stock).count()
}

/// Seconds of the day: no run of a lifetime goes over midnight by more than one day.
fn date(text: &str) -> i64 {
    let number = |from: usize| text[from..from + 2].parse::<i64>().unwrap();
    ((number(8) * 24 + number(11)) * 60 + number(14)) * 60 + number(17)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A file that is gone with this, and those beside it.
struct File(std::path::PathBuf);

impl File {
    fn new(seed: u64) -> Self {
        let file = format!("sandtower-pool-soak-{}-{seed}", std::process::id());
        Self(std::env::temp_dir().join(file))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let name = self.0.file_name().unwrap().to_string_lossy().into_owned();
        for file in std::fs::read_dir(self.0.parent().unwrap()).unwrap().flatten() {
            if file.file_name().to_string_lossy().starts_with(&name) {
                drop(std::fs::remove_file(file.path()));
            }
        }
    }
}

async fn run(store: Option<&Path>, seed: u64) -> Run {
    let (sim, wanted) = (simulator(seed), setting("SANDTOWER_HAND_OUTS", 1_500));
    let (handed_out, seen) = (HandedOut::default(), Arc::new(Mutex::new(Seen::default())));
    let hits = AtomicU64::new(0);
    let mut rng = Rng::with_seed(seed);
    let mut process = Process::start(&sim, 1, store, &seen);
    let (mut snapshots, mut number, mut most) = (Vec::new(), 1, 0);
    let (mut looked, mut kills) = (Duration::ZERO, Duration::from_secs(120));
    while hits.load(Ordering::Relaxed) + process.e2b.snapshot().pool.unwrap().hits < wanted {
        let gap = -(1.0 - rng.f64()).ln() / 4.0;
        tokio::time::sleep(Duration::from_secs_f64(gap)).await;
        let (e2b, own) = (process.e2b.clone(), Rng::with_seed(rng.u64(..)));
        process.callers.spawn(caller(e2b, sim.clone(), Arc::clone(&handed_out), own));
        while process.callers.try_join_next().is_some() {}
        if store.is_none() && sim.elapsed() > looked + Duration::from_secs(10) {
            looked = sim.elapsed();
            most = most.max(stock(&sim).await);
        }
        if sim.elapsed() > kills {
            // With a record, the next process may be killed before it has found what the one before left.
            let soonest = if store.is_some() { 1 } else { 60 };
            let latest = if store.is_some() { 120 } else { 900 };
            kills = sim.elapsed() + Duration::from_secs(rng.u64(soonest..latest));
            let killed = process.kill();
            hits.fetch_add(killed.hits, Ordering::Relaxed);
            snapshots.push(killed);
            number += 1;
            process = Process::start(&sim, number, store, &seen);
        }
    }
    while process.callers.join_next().await.is_some() {}
    snapshots.push(process.e2b.snapshot().pool.unwrap());
    drop(process.e2b.drain().await);
    tokio::time::sleep(IDLE_FOR + ASKED + Duration::from_secs(60)).await;
    let handed_out = std::mem::take(&mut *handed_out.lock().unwrap());
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Run { sim, handed_out, seen, snapshots, most, seed }
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_none_is_returned_dead_or_twice_and_none_is_left() {
    let run = run(None, setting("SANDTOWER_SEED", 1)).await;
    run.is_well();
    for (number, pool) in run.snapshots.iter().enumerate() {
        // Creations that were in flight when the process before was killed appear beside the stock.
        let more = if number == 0 { 0 } else { IN_FLIGHT };
        assert!(pool.most_in_stock <= 10 + more, "seed {}: {pool:?}", run.seed);
        let most = BUDGET + f64::from(more) * 0.1;
        assert!(pool.cost_per_hour <= most, "seed {}: {pool:?}", run.seed);
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_store_stock_is_never_above_its_bounds_whoever_is_killed() {
    let seed = setting("SANDTOWER_SEED", 1);
    let file = File::new(seed);
    let run = run(Some(&file.0), seed).await;
    run.is_well();
    run.is_within_bounds(10);
    for pool in &run.snapshots {
        assert!(pool.most_in_stock <= 10, "seed {seed}: {pool:?}");
        assert!(pool.cost_per_hour <= BUDGET + 1e-9, "seed {seed}: {pool:?}");
    }
}
