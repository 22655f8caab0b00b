//! Hand-outs by the thousand in virtual time, over a service where everything goes wrong, from processes that
//! are killed.
//!
//! 1,500 by default; `SANDTOWER_HAND_OUTS=100000 cargo test --release -p tests --test it -- pool::soak` for more.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandtower::E2b;
use sandtower::core::{BoxError, Rng, Seed};
use sandtower::e2b::{NewSandbox, POOL_KEY};
use sandtower::pool::{PoolSnapshot, Wall};
use sandtower::stack::{Plan, Stack};
use sandtower_sim::{Body, Fault, FaultKind, Limits, Rate, Sim, World};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

const MAX: u32 = 12;
const BUDGET: f64 = 1.0;
/// The most creations of a pool in flight at a time, after a pause: its burst.
const IN_FLIGHT: u32 = 5;
const IDLE_FOR: Duration = Duration::from_secs(120);
const ASKED: Duration = Duration::from_secs(60);
/// The first second of 2026, where the dates of the simulator begin.
const EPOCH: i64 = 1_767_225_600;

/// A transport of a process that may be killed: from then on nothing is sent and nothing comes back.
#[derive(Clone)]
struct Mortal {
    sim: Sim,
    is_dead: Arc<AtomicBool>,
}

type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Service<Request<Full<Bytes>>> for Mortal {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Responding;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Responding {
        let (sim, is_dead) = (self.sim.clone(), Arc::clone(&self.is_dead));
        Box::pin(async move {
            let mut sent = Some(Box::pin(sim.oneshot(request)));
            std::future::poll_fn(|cx| {
                if is_dead.load(Ordering::Relaxed) {
                    // The connection is gone with its process.
                    sent = None;
                }
                let Some(sent) = &mut sent else { return Poll::Pending };
                sent.as_mut().poll(cx).map_err(Into::into)
            })
            .await
        })
    }
}

struct Process {
    e2b: E2b,
    is_dead: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Process {
    fn start(sim: &Sim, number: u64) -> Self {
        let is_dead = Arc::new(AtomicBool::new(false));
        let seen = sim.clone();
        let wall = move || Wall(EPOCH + i64::try_from(seen.elapsed().as_secs()).unwrap());
        let plan = Plan::Custom {
            create_every: Duration::from_millis(50),
            sandboxes: 150.try_into().unwrap(),
            concurrent_creates: 30.try_into().unwrap(),
        };
        let stack = Stack::builder(super::config())
            .plan(plan)
            .seed(Seed::fixed(number))
            .pool(|pool| {
                let pool = pool.min(2).max(MAX).budget(BUDGET).idle_for(IDLE_FOR);
                pool.shape(&NewSandbox::new("base"))
            })
            .pool_hooks(move |pool| pool.wall(wall).seed(&Seed::fixed(number)));
        let transport = Mortal { sim: sim.clone(), is_dead: Arc::clone(&is_dead) };
        let e2b = E2b::new(&stack.build().unwrap(), transport);
        Self { e2b, is_dead, callers: JoinSet::new() }
    }

    /// What `kill -9` does.
    fn kill(mut self) -> PoolSnapshot {
        let snapshot = self.e2b.snapshot().pool.unwrap();
        self.is_dead.store(true, Ordering::Relaxed);
        self.callers.abort_all();
        snapshot
    }
}

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
    let request =
        Request::get("http://e2b.test/v2/sandboxes?limit=100").header("x-api-key", super::KEY);
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

fn wanted() -> u64 {
    std::env::var("SANDTOWER_HAND_OUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_500)
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_none_is_returned_dead_or_twice_and_none_is_left() {
    let seed = std::env::var("SANDTOWER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (sim, wanted) = (simulator(seed), wanted());
    let handed_out = HandedOut::default();
    let hits = AtomicU64::new(0);
    let mut rng = Rng::with_seed(seed);
    let mut process = Process::start(&sim, 1);
    let (mut snapshots, mut number, mut most) = (Vec::new(), 1, 0);
    let (mut looked, mut kills) = (Duration::ZERO, Duration::from_secs(120));
    while hits.load(Ordering::Relaxed) + process.e2b.snapshot().pool.unwrap().hits < wanted {
        let gap = -(1.0 - rng.f64()).ln() / 4.0;
        tokio::time::sleep(Duration::from_secs_f64(gap)).await;
        let (e2b, own) = (process.e2b.clone(), Rng::with_seed(rng.u64(..)));
        process.callers.spawn(caller(e2b, sim.clone(), Arc::clone(&handed_out), own));
        while process.callers.try_join_next().is_some() {}
        if sim.elapsed() > looked + Duration::from_secs(10) {
            looked = sim.elapsed();
            most = most.max(stock(&sim).await);
        }
        if sim.elapsed() > kills {
            kills = sim.elapsed() + Duration::from_secs(rng.u64(60..900));
            let killed = process.kill();
            hits.fetch_add(killed.hits, Ordering::Relaxed);
            snapshots.push(killed);
            number += 1;
            process = Process::start(&sim, number);
        }
    }
    while process.callers.join_next().await.is_some() {}
    snapshots.push(process.e2b.snapshot().pool.unwrap());
    drop(process.e2b.drain().await);
    tokio::time::sleep(IDLE_FOR + ASKED + Duration::from_secs(60)).await;
    check(&sim, &handed_out.lock().unwrap(), &snapshots, most, seed);
}

#[expect(clippy::print_stdout, reason = "a run of many hand-outs is read by whoever started it")]
fn check(
    sim: &Sim,
    handed_out: &[(String, Duration)],
    all: &[PoolSnapshot],
    most: usize,
    seed: u64,
) {
    let ledger = sim.ledger();
    let records: BTreeMap<_, _> = ledger.sandboxes.iter().map(|it| (it.id.as_str(), it)).collect();
    let mut seen = BTreeSet::new();
    let (mut dead, mut twice) = (0, 0);
    for (id, at) in handed_out {
        twice += u32::from(!seen.insert(id));
        let record = records[id.as_str()];
        // It may die in the milliseconds between the check and the caller.
        let soon = *at - Duration::from_millis(100).min(*at);
        dead += u32::from(record.zombie || record.ended_at.is_some_and(|ended| ended < soon));
    }
    let late = ledger.sandboxes.iter().filter(|record| {
        let ended = record.ended_at.unwrap_or(ledger.now);
        ended - record.created_at > Duration::from_secs(300)
    });
    let hits: u64 = all.iter().map(|pool| pool.hits).sum();
    let found_dead: u64 = all.iter().map(|pool| pool.dead).sum();
    println!(
        "seed {seed}: {hits} hand-outs of {} sandboxes by {} processes; {found_dead} found dead; returned dead: \
         {dead}, twice: {twice}; left: {}, most in stock: {most}",
        ledger.creates.created,
        all.len(),
        sim.active(),
    );
    assert_eq!((dead, twice, sim.active(), late.count()), (0, 0, 0, 0), "seed {seed}");
    for (number, pool) in all.iter().enumerate() {
        // Creations that were in flight when the process before was killed appear beside the stock.
        let more = if number == 0 { 0 } else { IN_FLIGHT };
        assert!(pool.most_in_stock <= 10 + more, "seed {seed}: {pool:?}");
        let most = BUDGET + f64::from(more) * 0.1;
        assert!(pool.cost_per_hour <= most, "seed {seed}: {pool:?}");
    }
}
