//! Draining at the end of a program, and after the end of runtimes.

use std::future::pending;
use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::{NewSandbox, OrphansLeft};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::fake::{Fake, Fate, attempts};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1_000);

fn runtime() -> Runtime {
    let builder = Builder::new_current_thread();
    { builder }.enable_time().start_paused(true).build().unwrap()
}

/// What the first runtime does afterwards.
#[derive(Clone, Copy, Debug)]
enum First {
    Ended,
    NotDriven,
}

#[test]
fn a_drain_takes_over_the_work_of_another_runtime() {
    for first in [First::Ended, First::NotDriven] {
        for worked_for in [0, 4, 6, 50] {
            let fake = Fake::with([Fate::Lost, Fate::Late(SECOND)]);
            let (client, tracker) = attempts(&fake);
            let mut one = Some(runtime());
            one.as_ref().unwrap().block_on(async {
                client.create(&NewSandbox::new("base")).await.unwrap_err();
                client.create(&NewSandbox::new("base")).await.unwrap_err();
                sleep(worked_for * SECOND + SECOND / 2).await;
            });
            if let First::Ended = first {
                one = None;
            }
            let began = Tick::now();
            runtime().block_on(async {
                tracker.drain_within(LONG).await.unwrap();
                assert!(Tick::now().since(began) < 200 * SECOND, "{first:?}, {worked_for}");
            });
            assert_eq!(fake.alive().len(), 0, "{first:?}, {worked_for}");
            drop(one);
        }
    }
}

#[test]
fn a_kill_of_a_stalled_runtime_is_repeated() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().kills_hang = 1;
    let (client, tracker) = attempts(&fake);
    let one = runtime();
    one.block_on(async {
        client.create(&NewSandbox::new("base")).await.unwrap_err();
        // The late sandbox is found; its kill begins and does not end.
        sleep(30 * SECOND).await;
    });
    let kills = fake.world().kills;
    assert_eq!((kills, fake.alive().len()), (1, 1));
    runtime().block_on(async {
        let began = Tick::now();
        let _ = tracker.drain_within(25 * SECOND).await;
        assert!(Tick::now().since(began) <= 25 * SECOND);
    });
    assert_eq!(fake.alive().len(), 0);
    // The first runtime continues, and disturbs nothing.
    one.block_on(async { sleep(LONG).await });
    assert_eq!(tracker.snapshot().killed, 1);
}

#[test]
fn the_next_call_takes_over_from_a_runtime_that_is_no_longer_driven() {
    let fake = Fake::with([Fate::Lost, Fate::Lost]);
    let (client, tracker) = attempts(&fake);
    let (one, two) = (runtime(), runtime());
    one.block_on(client.create(&NewSandbox::new("base"))).unwrap_err();
    two.block_on(async {
        sleep(60 * SECOND).await;
        client.create(&NewSandbox::new("base")).await.unwrap_err();
        sleep(200 * SECOND).await;
    });
    assert_eq!((fake.alive().len(), tracker.snapshot().killed), (0, 2));
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_drain_after_an_outage_returns_in_time_and_names_what_is_left() {
    let fake = Fake::with([Fate::Lost; 3]);
    fake.world().is_blind = true;
    let (client, tracker) = attempts(&fake);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
        calls.push(error.call().id.unwrap());
    }
    sleep(300 * SECOND).await;
    for seconds in [0, 1, 25] {
        let began = Tick::now();
        let left = tracker.drain_within(seconds * SECOND).await.unwrap_err();
        assert_eq!(Tick::now().since(began), seconds * SECOND);
        calls.sort();
        assert_eq!((left.calls.clone(), left.sandboxes.len()), (calls.clone(), 0));
        let shown = left.to_string();
        assert!(shown.starts_with("3 orphaned sandboxes are still being cleaned up: "), "{shown}");
        assert!(calls.iter().all(|call| shown.contains(&call.to_string())), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_names_the_sandboxes_that_cannot_be_killed() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().kills_fail = usize::MAX;
    let (client, tracker) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    sleep(120 * SECOND).await;
    let OrphansLeft { sandboxes, .. } = tracker.drain_within(25 * SECOND).await.unwrap_err();
    assert_eq!(sandboxes.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["i1"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_retries_at_once() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().kills_fail = 12;
    let (client, tracker) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    sleep(150 * SECOND).await;
    // By now tries are up to 30 s apart.
    fake.world().kills_fail = 0;
    let began = Tick::now();
    tracker.drain_within(25 * SECOND).await.unwrap();
    assert!(Tick::now().since(began) < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_dropped_changes_nothing() {
    let fake = Fake::with([Fate::Lost]);
    let (client, tracker) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert!(timeout(SECOND, tracker.drain_within(LONG)).await.is_err());
    sleep(LONG).await;
    assert_eq!((fake.alive().len(), tracker.snapshot().killed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn no_duration_is_too_long_to_drain() {
    let (client, tracker) = attempts(&Fake::default());
    tracker.drain_within(Duration::MAX).await.unwrap();
    let _ = timeout(SECOND, pending::<()>()).await;
    drop(client);
}
