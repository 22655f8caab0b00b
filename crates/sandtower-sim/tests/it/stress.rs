//! The stress world: blind retries bring it down, and the same world is well under a little care.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(clippy::print_stdout, reason = "a failure found once is a seed: each seed is printed")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::common::{Created, base, envelopes, secs, try_send};
use sandtower_sim::{Config, Sim, World};
use tokio::{sync::Semaphore, time};

const SEEDS: u64 = 20;

const USERS: usize = 6;
const QUERIES: usize = 2;
const EXECUTIONS: usize = 5;
const ATTEMPTS: usize = 3;
const RETRY_PAUSE: Duration = secs(1);
const EXECUTION_PAUSE: Duration = secs(5);
const CLIENT_TIMEOUT: Duration = secs(60);

/// What the callers saw.
#[derive(Debug, Default)]
struct Seen {
    done: usize,
    failed: usize,
    retries: usize,
    gave_up: usize,
    queries: Vec<Duration>,
    /// Latencies of the creations that succeeded.
    creations: Vec<Duration>,
}

impl Seen {
    fn done_share(&self) -> f64 {
        self.done as f64 / (self.done + self.failed) as f64
    }
}

fn median(durations: &[Duration]) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// What a caller does before it creates, if anything.
#[derive(Clone)]
enum Care {
    Blind,
    Paced(Arc<Pace>),
}

/// At most so many creations at a time, and one an interval.
struct Pace {
    at_a_time: Semaphore,
    /// When the next one may go, on the simulator's clock.
    next: Mutex<Duration>,
    interval: Duration,
}

impl Pace {
    fn new() -> Arc<Self> {
        let next = Mutex::new(Duration::ZERO);
        Arc::new(Self { at_a_time: Semaphore::new(2), next, interval: secs(1) })
    }

    async fn my_turn(&self, now: Duration) {
        let wait = {
            let mut next = self.next.lock().unwrap();
            let turn = next.max(now);
            *next = turn + self.interval;
            turn - now
        };
        time::sleep(wait).await;
    }
}

async fn create(sim: &Sim, care: &Care, seen: &Mutex<Seen>) -> Result<Created, ()> {
    let _slot = match care {
        Care::Blind => None,
        Care::Paced(pace) => {
            let slot = pace.at_a_time.acquire().await.unwrap();
            pace.my_turn(sim.elapsed()).await;
            Some(slot)
        }
    };
    let sent = sim.elapsed();
    let response = time::timeout(CLIENT_TIMEOUT, try_send(sim, base())).await;
    let response = response.map_err(drop)?.map_err(drop)?;
    if response.status != 201 {
        return Err(());
    }
    seen.lock().unwrap().creations.push(sim.elapsed() - sent);
    Ok(Created::of(&response))
}

/// Runs code in a fresh sandbox: what one attempt is for.
async fn attempt(sim: &Sim, care: &Care, seen: &Mutex<Seen>) -> Result<(), ()> {
    let sandbox = create(sim, care, seen).await?;
    let ran = try_send(sim, sandbox.start("sleep 2; echo done")).await;
    try_send(sim, sandbox.kill()).await.map_err(drop)?;
    let ran = ran.map_err(drop)?;
    if ran.status != 200 || envelopes(&ran.body).last().unwrap().1 != serde_json::json!({}) {
        return Err(());
    }
    Ok(())
}

async fn execution(sim: &Sim, care: &Care, seen: &Mutex<Seen>) -> Result<(), ()> {
    for retry in 0..ATTEMPTS {
        if retry > 0 {
            seen.lock().unwrap().retries += 1;
            time::sleep(RETRY_PAUSE).await;
        }
        if attempt(sim, care, seen).await.is_ok() {
            seen.lock().unwrap().done += 1;
            return Ok(());
        }
    }
    seen.lock().unwrap().failed += 1;
    Err(())
}

async fn query(sim: &Sim, care: &Care, seen: &Mutex<Seen>) {
    let started = sim.elapsed();
    let mut responded = false;
    for again in 0..EXECUTIONS {
        if again > 0 {
            time::sleep(EXECUTION_PAUSE).await;
        }
        if execution(sim, care, seen).await.is_ok() {
            responded = true;
            break;
        }
    }
    let mut seen = seen.lock().unwrap();
    seen.gave_up += usize::from(!responded);
    seen.queries.push(sim.elapsed() - started);
}

async fn users(sim: &Sim, care: Care) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut users = Vec::new();
    for _ in 0..USERS {
        let (sim, care, seen) = (sim.clone(), care.clone(), Arc::clone(&seen));
        users.push(tokio::spawn(async move {
            for _ in 0..QUERIES {
                query(&sim, &care, &seen).await;
            }
        }));
    }
    for user in users {
        user.await.unwrap();
    }
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

fn stressed(seed: u64) -> Sim {
    Config::new().seed(seed).world(World::stress()).build().unwrap()
}

fn report(seed: u64, sim: &Sim, seen: &Seen) {
    let seconds: Vec<_> = seen.queries.iter().map(|query| query.as_secs()).collect();
    let ledger = sim.ledger();
    println!(
        "seed {seed}: done {} failed {} retries {} ({:.0} %), unfinished {}, queries {seconds:?} s, \
         creation {:?}, most in flight {}, refused {:?}, late {}",
        seen.done,
        seen.failed,
        seen.retries,
        100.0 * seen.done_share(),
        seen.gave_up,
        median(&seen.creations),
        ledger.creates.max_in_flight,
        ledger.creates.rejected,
        ledger.creates.created_late,
    );
}

#[tokio::test(start_paused = true)]
async fn six_users_who_retry_blindly_mostly_fail_and_wait_for_minutes() {
    let (mut done, mut all, mut queries) = (0, 0, Vec::new());
    for seed in 0..SEEDS {
        let sim = stressed(seed);
        let seen = users(&sim, Care::Blind).await;
        report(seed, &sim, &seen);
        done += seen.done;
        all += seen.done + seen.failed;
        queries.extend(seen.queries);
    }
    let share = f64::from(u32::try_from(done).unwrap()) / all as f64;
    let minutes = queries.iter().filter(|query| **query > secs(60)).count();
    println!("{done} of {all} executions: {:.1} %", 100.0 * share);
    println!("{minutes} of {} queries over a minute, median {:?}", queries.len(), median(&queries));
    assert!((0.20..=0.45).contains(&share), "{share}");
    assert!(minutes * 2 > queries.len(), "{minutes} of {}", queries.len());
}

#[tokio::test(start_paused = true)]
async fn two_at_a_time_and_one_a_second_nearly_all_succeed_at_the_base_latency() {
    let (mut created, mut received, mut latencies) = (0, 0, Vec::new());
    for seed in 0..SEEDS {
        let sim = stressed(seed);
        let seen = users(&sim, Care::Paced(Pace::new())).await;
        report(seed, &sim, &seen);
        let creates = sim.ledger().creates;
        assert!(creates.max_in_flight <= 2);
        created += creates.created;
        received += creates.received;
        assert!(seen.done_share() > 0.9, "seed {seed}: {seen:?}");
        assert_eq!(seen.gave_up, 0, "seed {seed}");
        latencies.extend(seen.creations);
    }
    let latency = median(&latencies);
    println!("{created} of {received} creations, median {latency:?}");
    assert!((secs(2)..secs(4)).contains(&latency), "{latency:?}");
    assert!(created * 100 >= received * 97, "{created} of {received}");
}
