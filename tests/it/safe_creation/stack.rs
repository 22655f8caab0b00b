//! Single creations through the whole stack, over the simulator.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::time::Duration;

use sandtower::core::Seed;
use sandtower::e2b::{CALL_KEY, Client, Config, NewSandbox, OWNER_KEY};
use sandtower::stack::{Plan, Stack, StackService};
use sandtower_sim::{Fault, FaultKind, Sim};
use tokio::time::sleep;

const LONG: Duration = Duration::from_secs(1_000);

fn on(request: &str, fault: Fault) -> Fault {
    Fault { on: vec![request.to_owned()], ..fault }
}

/// Only the first of them, if they come a minute apart.
fn first(fault: Fault) -> Fault {
    Fault { until: Some(Duration::from_secs(1)), ..fault }
}

fn sim(faults: Vec<Fault>) -> Sim {
    let config = sandtower_sim::Config::new().call_key(CALL_KEY).faults(faults);
    config.plan(sandtower_sim::Plan::Pro).build().unwrap()
}

fn config() -> Config {
    let config = Config::new("e2b_key").unwrap().owner("worker-7".parse().unwrap());
    let config = config.api_url("http://e2b.test").unwrap();
    config.sandbox_url("http://e2b.test").unwrap()
}

fn stack(sim: &Sim, config: Config) -> (Client<StackService>, Stack) {
    let stack = Stack::seeded(config, Plan::Pro, Seed::fixed(1));
    (stack.client(sim.clone()), stack)
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_hangs_and_succeeded_is_not_sent_again() {
    let hang = Fault {
        after_work: true,
        lasting: Some(Duration::from_secs(300)),
        ..Fault::new("hang", FaultKind::Stall)
    };
    let sim = sim(vec![first(on("sandbox_create", hang))]);
    let (client, stack) = stack(&sim, config());
    let sandbox = client.create(&NewSandbox::new("base").timeout(LONG)).await.unwrap();
    assert_eq!(sim.elapsed().as_secs(), 60, "the timeout, and no time to find the sandbox");
    stack.handles().tracker.drain_within(LONG).await.unwrap();
    let ledger = sim.ledger();
    assert_eq!((ledger.creates.created, ledger.active), (1, 1));
    assert_eq!(ledger.sandboxes[0].id, sandbox.id().as_str());
    assert!(client.kill(sandbox.id()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_commits_after_all_callers_are_gone_leaves_nothing() {
    let late = Fault {
        lasting: Some(Duration::from_secs(20)),
        ..Fault::new("late", FaultKind::LateCommit)
    };
    let sim = sim(vec![first(late)]);
    let (client, stack) = stack(&sim, config());
    let sandbox = client.create(&NewSandbox::new("base").timeout(LONG)).await.unwrap();
    assert!(sim.elapsed() < Duration::from_secs(70), "no caller waits for the late one");
    stack.handles().tracker.drain_within(LONG).await.unwrap();
    let ledger = sim.ledger();
    assert_eq!((ledger.creates.created, ledger.creates.created_late), (2, 1));
    let alive: Vec<_> = ledger.sandboxes.iter().filter(|s| s.ended_at.is_none()).collect();
    assert_eq!(alive.len(), 1);
    assert_eq!(alive[0].id, sandbox.id().as_str());
    assert_eq!(stack.handles().tracker.snapshot().killed, 1);
}

#[tokio::test(start_paused = true)]
async fn with_idempotency_keys_a_lost_response_is_requested_again() {
    let lost = Fault { rate: 0.15, ..Fault::new("lost", FaultKind::Lose) };
    let dead = Fault { rate: 0.05, ..Fault::new("dead", FaultKind::Zombie) };
    let sim = sim(vec![on("sandbox_create", lost), dead]);
    let (client, stack) = stack(&sim, config().idempotency_keys(true));
    let mut got = 0;
    for _ in 0..100 {
        sleep(Duration::from_secs(1)).await;
        if let Ok(sandbox) = client.create(&NewSandbox::new("base")).await {
            got += 1;
            assert!(client.kill(sandbox.id()).await.unwrap());
        }
    }
    stack.handles().tracker.drain_within(LONG).await.unwrap();
    let ledger = sim.ledger();
    assert_eq!((ledger.active, stack.handles().tracker.snapshot().adopted), (0, 0));
    // Nothing is created twice: further sandboxes replace dead ones.
    let dead = ledger.injected["dead"];
    let created = ledger.creates.created;
    assert!(got >= 95 && created <= 100 + dead, "{got} of {created}, {dead} dead: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_metadata_is_left_as_it_is() {
    let sim = sim(vec![]);
    let (client, _stack) = stack(&sim, config());
    let new = NewSandbox::new("base").metadata("user", "u 1").metadata("order", "a&b=c");
    let sandbox = client.create(&new).await.unwrap();
    let mut metadata = client.info(sandbox.id()).await.unwrap().metadata;
    assert_eq!(metadata.remove(OWNER_KEY).as_deref(), Some("worker-7"));
    metadata.retain(|key, _| !key.starts_with("sandtower_"));
    let own = [("user", "u 1"), ("order", "a&b=c")];
    assert_eq!(metadata, own.map(|(key, value)| (key.into(), value.into())).into());
}

#[tokio::test(start_paused = true)]
async fn sandboxes_of_a_crashed_process_are_swept_and_those_with_an_owner_are_not() {
    let sim = sim(vec![]);
    let (crashed, _stack) = stack(&sim, config());
    for _ in 0..3 {
        crashed.create(&NewSandbox::new("base").timeout(LONG)).await.unwrap();
    }
    let (other, _stack) = stack(&sim, config().owner("worker-8".parse().unwrap()));
    let held = other.create(&NewSandbox::new("base").timeout(LONG)).await.unwrap();
    let mine = config().owner_name().clone();
    let keep = crashed.create(&NewSandbox::new("base").timeout(LONG)).await.unwrap();

    let swept = other.sweep(&mine, |sandbox| sandbox.id == *keep.id()).await.unwrap();

    assert_eq!((swept.len(), sim.active()), (3, 2));
    assert!(other.kill(held.id()).await.unwrap() && other.kill(keep.id()).await.unwrap());
}
