use std::time::Duration;

use sandtower_core::Seed;
use sandtower_e2b::NewSandbox;
use sandtower_pool::{Config, MemoryStock, OnShutdown, PoolBuilder, SqliteStock, Wall};
use sandtower_sim::{FaultKind, Sim};

use super::{Folder, Switched, e2b};
use crate::world::{World, base, fault, pass, sim, three};

/// The first second of 2026, where the dates of the simulator begin.
const EPOCH: i64 = 1_767_225_600;

/// Process `number` of an owner.
fn process(sim: &Sim, number: u64, config: Config, stock: Option<&Switched>) -> World {
    World::over(sim.clone(), "worker", config, |builder| match stock {
        Some(stock) => clocked(builder, sim, number).stock(stock.clone()),
        None => clocked(builder, sim, number),
    })
}

fn clocked(builder: PoolBuilder, sim: &Sim, number: u64) -> PoolBuilder {
    let seen = sim.clone();
    let wall = move || Wall(EPOCH + i64::try_from(seen.elapsed().as_secs()).unwrap());
    builder.wall(wall).seed(&Seed::fixed(number))
}

/// What `kill -9` does: from here on nothing is recorded and nothing is sent.
fn kill(world: World, stock: Option<&Switched>) {
    stock.inspect(|stock| stock.fail(true));
    drop(world);
}

/// The most that there were at a time for so long.
async fn most(sim: &Sim, seconds: u64) -> usize {
    let mut most = 0;
    for _ in 0..seconds * 10 {
        most = most.max(sim.active());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    most
}

/// Kills the first process `after` its start, and returns the most that there were from then on.
async fn most_after_a_crash(after: Duration, has_store: bool) -> usize {
    let (sim, memory) = (sim(), MemoryStock::new());
    let stocks = [Switched::over(&memory), Switched::over(&memory)];
    let stock = |number: usize| has_store.then(|| &stocks[number]);
    // Proven at once, so that all three are created at a time.
    let first = process(&sim, 1, three().create_burst(10), stock(0));
    assert!(first.service.start::<http_body_util::Full<bytes::Bytes>, _>());
    tokio::time::sleep(after).await;
    kill(first, stock(0));
    let next = process(&sim, 2, three().create_burst(10), stock(1)).stocked(0).await;
    let most = most(&sim, 200).await;
    assert_eq!(next.snapshot().idle, 3, "{:?}", next.snapshot());
    most
}

#[tokio::test(start_paused = true)]
async fn with_a_store_stock_is_not_above_max_whenever_a_process_is_killed() {
    let mut without = 0;
    for tenths in (2..60).step_by(2) {
        let after = Duration::from_millis(tenths * 100);
        let most = most_after_a_crash(after, true).await;
        assert!(most <= 3, "killed after {after:?}: {most}");
        without = without.max(most_after_a_crash(after, false).await);
    }
    assert!(without > 3, "without a store: {without}");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_of_a_caller_is_never_killed_whatever_it_looks_like() {
    let (sim, memory) = (sim(), MemoryStock::new());
    let stock = Switched::over(&memory);
    let world = process(&sim, 1, three(), Some(&stock)).stocked(10).await;
    let sandbox = world.create().await;
    let created = sim.ledger().sandboxes.iter().find(|it| it.id == sandbox.id().as_str()).cloned();
    let age = sim.elapsed() - created.unwrap().created_at;
    // Its caller has it end exactly when stock would.
    let left = Duration::from_secs(300) - age;
    world.client.set_timeout(sandbox.id(), left).await.unwrap();
    kill(world, Some(&stock));
    let next = process(&sim, 2, three(), Some(&Switched::over(&memory))).stocked(250).await;
    assert!(next.client.info(sandbox.id()).await.is_ok());
    assert_eq!(sim.active(), 4, "{:?}", next.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_response_was_not_returned_is_killed() {
    let (sim, memory) = (sim(), MemoryStock::new());
    let stock = Switched::over(&memory);
    let world = process(&sim, 1, three(), Some(&stock)).stocked(10).await;
    // Connected to, so that it no longer ends when stock does, and being checked.
    sim.set_faults(vec![fault(FaultKind::Stall, "envd_process")]).unwrap();
    let client = world.client.clone();
    let new = base().timeout(Duration::from_secs(3_000));
    let call = tokio::spawn(async move { client.create(&new).await.map(drop) });
    pass(2).await;
    call.abort();
    kill(world, Some(&stock));
    sim.set_faults(Vec::new()).unwrap();
    let config = Config::new().shape(&NewSandbox::new("base"));
    let next = process(&sim, 2, config, Some(&Switched::over(&memory))).stocked(10).await;
    assert_eq!(sim.active(), 0, "{:?}", next.snapshot());
    let snapshot = next.snapshot();
    assert_eq!((snapshot.ending, snapshot.creating), (0, 0), "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn stock_that_is_kept_is_adopted_and_counts_once() {
    let (sim, memory) = (sim(), MemoryStock::new());
    let keep = || three().on_shutdown(OnShutdown::Keep);
    let stock = Switched::over(&memory);
    let world = process(&sim, 1, keep(), Some(&stock)).stocked(10).await;
    // A crash or a shutdown: both keep it.
    kill(world, Some(&stock));
    let next = process(&sim, 2, keep(), Some(&Switched::over(&memory))).stocked(5).await;
    let snapshot = next.snapshot();
    assert_eq!((snapshot.idle, snapshot.most_in_stock), (3, 3), "{snapshot:?}");
    assert!(sim.ledger().sandboxes.iter().all(|record| record.ended_at.is_none()));
    next.create().await;
    assert_eq!(next.snapshot().hits, 1);
    next.pool.shut_down(Duration::from_secs(10)).await;
    drop(next);
    let last = process(&sim, 3, three(), Some(&Switched::over(&memory))).stocked(10).await;
    assert_eq!(sim.active(), 4, "{:?}", last.snapshot());
    assert_eq!(last.snapshot().idle, 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_is_recorded() {
    let folder = Folder::new("shutdown");
    let config = three().store(folder.file());
    let world = World::over(sim(), "worker", config, |builder| builder);
    let world = world.stocked(10).await;
    assert_eq!(world.snapshot().store_available, Some(true));
    let sandbox = world.create().await;
    world.pool.shut_down(Duration::from_secs(10)).await;
    assert_eq!(world.sim.active(), 1);
    // Its handles live on, and another pool may have the record.
    let stock = SqliteStock::open(folder.file(), &e2b("worker")).unwrap();
    assert_eq!(sandtower_pool::Stock::load(&stock).unwrap(), Some(Vec::new()));
    drop((world, sandbox));
}
