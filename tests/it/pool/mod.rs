//! The warm pool in the recommended stack, over the simulator.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod soak;
mod stress;

use std::time::Duration;

use sandtower::E2b;
use sandtower::core::{Priority, Seed, Tick, explained};
use sandtower::e2b::{Config, NewSandbox};
use sandtower::http::Explain;
use sandtower::stack::{Builder, Component, Plan, Stack, StackConfig};
use sandtower_sim::{FaultKind, Sim, World};

const KEY: &str = "e2b_0000000000000000000000000000000000000000";

fn config() -> Config {
    let config = Config::new(KEY).unwrap().seed(Seed::fixed(1)).owner("worker".parse().unwrap());
    config.api_url("http://e2b.test").unwrap().sandbox_url("http://e2b.test").unwrap()
}

fn builder() -> Builder {
    Stack::builder(config()).plan(Plan::Pro).seed(Seed::fixed(1))
}

fn simulator() -> Sim {
    let world = World { create_median: Duration::from_secs(1), ..World::calm() };
    sandtower_sim::Config::new().plan(sandtower_sim::Plan::Pro).world(world).build().unwrap()
}

fn base() -> NewSandbox {
    NewSandbox::new("base")
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stack_with_a_pool_serves_creations_from_stock() {
    let sim = simulator();
    let stack = builder().pool(|pool| pool.min(3).shape(&base())).build().unwrap();
    let e2b = E2b::new(&stack, sim.clone());
    pass(20).await;
    assert_eq!(e2b.snapshot().pool.unwrap().idle, 3);
    let began = Tick::now();
    let sandbox = e2b.create(&base()).await.unwrap();
    assert!(Tick::now().since(began) < Duration::from_millis(100));
    let snapshot = e2b.snapshot();
    assert_eq!(snapshot.pool.as_ref().unwrap().hits, 1);
    assert!(!format!("{snapshot:?}").contains(KEY));
    // Claimed: nothing kills it.
    pass(60).await;
    assert!(e2b.info(sandbox.id()).await.is_ok());
    assert_eq!(e2b.snapshot().events.succeeded, 5, "that of the caller, and four for the stock");
    e2b.drain().await.unwrap();
    assert_eq!(sim.active(), 1, "the stock is killed, and what a caller has is not");
}

#[tokio::test(start_paused = true)]
async fn requests_for_the_stock_are_background_and_callers_go_first() {
    let sim = simulator();
    let stack = builder().plan(Plan::Hobby).pool(|pool| pool.min(10).shape(&base()));
    let e2b = E2b::new(&stack.build().unwrap(), sim.clone());
    pass(1).await;
    let queue = |e2b: &E2b| {
        let queues = e2b.snapshot().admission.queues;
        queues.into_iter().find(|queue| queue.operation == "sandbox_create").unwrap()
    };
    let background = queue(&e2b).waiting_by_priority[Priority::Background.index()];
    let proven = e2b.snapshot().pool.unwrap().created > 0;
    assert!(background > 0 || !proven, "{:?}", queue(&e2b));
    pass(1).await;
    let other = NewSandbox::new("code-interpreter-v1");
    let began = Tick::now();
    e2b.create(&other).await.unwrap();
    let took = Tick::now().since(began);
    assert!(took < Duration::from_secs(4), "{took:?}, with {:?}", queue(&e2b));
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_finds_no_slot_gets_that_of_a_warm_sandbox() {
    let sim = simulator();
    let stack = builder().plan(Plan::Hobby).pool(|pool| pool.min(8).max(8).shape(&base()));
    let e2b = E2b::new(&stack.build().unwrap(), sim.clone());
    pass(30).await;
    assert_eq!(e2b.snapshot().pool.unwrap().idle, 8);
    let other = NewSandbox::new("code-interpreter-v1");
    for number in 1..=20 {
        let began = Tick::now();
        e2b.create(&other).await.unwrap();
        let took = Tick::now().since(began);
        assert!(took < Duration::from_secs(10), "{number}: {took:?}");
    }
    let pool = e2b.snapshot().pool.unwrap();
    assert_eq!((pool.idle, pool.yielded), (0, 8), "{pool:?}");
    assert_eq!(sim.active(), 20);
}

#[tokio::test(start_paused = true)]
async fn an_outage_stops_the_refill_and_its_end_resumes_it() {
    let sim = simulator();
    let stack = builder().pool(|pool| pool.min(3).shape(&base())).build().unwrap();
    let e2b = E2b::new(&stack, sim.clone());
    pass(20).await;
    let outage = sandtower_sim::Fault::new("outage", FaultKind::Refuse);
    sim.set_faults(vec![outage]).unwrap();
    pass(3_600).await;
    let refused = e2b.snapshot();
    let pool = refused.pool.unwrap();
    assert!(pool.failed < 30 && pool.idle == 0, "{pool:?}");
    sim.set_faults(Vec::new()).unwrap();
    pass(660).await;
    assert_eq!(e2b.snapshot().pool.unwrap().idle, 3);
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_explained_and_a_miss_has_its_attempt() {
    let stack = builder().explain(Explain::new()).pool(|pool| pool.min(2).shape(&base()));
    let e2b = E2b::new(&stack.build().unwrap(), simulator());
    pass(20).await;
    let (_, hit) = explained(e2b.create(&base())).await;
    assert!(hit.to_string().starts_with("warm pool "), "{hit}");
    let (_, miss) = explained(e2b.create(&base().metadata("user", "1"))).await;
    assert!(miss.to_string().contains("attempt 1 succeeded"), "{miss}");
}

#[tokio::test(start_paused = true)]
async fn a_stack_records_its_stock_in_the_file_of_its_settings() {
    let folder = std::env::temp_dir().join(format!("sandtower-pool-stack-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pool");
    let text = format!(
        "[pool]\nmin = 2\nstore = '{}'\nshapes = [{{ templateID = 'base' }}]",
        path.display()
    );
    let stack = || {
        let settings = StackConfig::read(toml::Deserializer::parse(&text).unwrap()).unwrap();
        builder().configure(settings).unwrap()
    };
    let sim = simulator();
    let e2b = E2b::new(&stack().build().unwrap(), sim.clone());
    pass(20).await;
    let pool = e2b.snapshot().pool.unwrap();
    assert_eq!((pool.idle, pool.store_available), (2, Some(true)), "{pool:?}");
    e2b.drain().await.unwrap();
    // Though its client is still there.
    let next = E2b::new(&stack().build().unwrap(), sim.clone());
    pass(20).await;
    assert_eq!(next.snapshot().pool.unwrap().idle, 2);
    next.drain().await.unwrap();
    assert_eq!(sim.active(), 0);
    let other = builder().pool(|pool| pool.store("/nowhere/pool")).build().unwrap_err().to_string();
    assert!(other.starts_with("pool: `store`: /nowhere/pool: it cannot be opened"), "{other}");
    let unnamed = Stack::builder(Config::new(KEY).unwrap()).pool(move |pool| pool.store(path));
    let unnamed = unnamed.build().unwrap_err().to_string();
    assert!(unnamed.starts_with("pool: `store` needs an owner"), "{unnamed}");
    drop(e2b);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_pool_that_cannot_be_is_rejected_by_name_with_what_would_be_right() {
    let text = |builder: Builder| builder.build().unwrap_err().to_string();
    assert_eq!(
        text(builder().pool(|pool| pool.budget(0.0))),
        "pool: `budget` is $0/h, which pays for no sandbox at a `price` of $0.1/h; raise it to at least \
         `price`, or leave `pool` out"
    );
    assert_eq!(
        text(builder().plan(Plan::Hobby).pool(|pool| pool.max(30).budget(3.0))),
        "pool: `max` is 30, but the plan has 20 slots, of which `spare_slots` keeps 2 free: `max` must be at \
         most 18"
    );
    let read = |text: &str| StackConfig::read(toml::Deserializer::parse(text).unwrap());
    let error = read("[pool]\nmaximum = 1").unwrap_err().to_string();
    assert!(error.starts_with("pool") && error.contains("unknown field `maximum`"), "{error}");
    let config = read("plan = 'pro'\n[pool]\nmax = 4\nshapes = [{ templateID = 'base' }]").unwrap();
    let stack = Stack::builder(self::config()).configure(config).unwrap().build().unwrap();
    assert_eq!(stack.handles().pool.as_ref().unwrap().snapshot().shapes[0].name, "base");
    let off = builder().pool(|pool| pool).disable(Component::Pool).build().unwrap();
    assert!(off.handles().pool.is_none() && builder().build().unwrap().handles().pool.is_none());
}
