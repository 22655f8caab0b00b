//! The cleanup task.

use sandtower_core::Tick;
use std::time::Duration;

use sandtower_e2b::{NewSandbox, OrphansLeft, SandboxTracker, Timing, TimingError};
use tokio::time::{sleep, timeout};

use super::fake::{Fake, Fate, attempts, config};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1_000);

#[tokio::test(start_paused = true)]
async fn a_kill_is_retried_until_it_succeeds() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().kills_fail = 7;
    let (client, creations) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), fake.world().kills), (0, 8));
    assert_eq!(creations.snapshot().killed, 1);
}

#[tokio::test(start_paused = true)]
async fn cleanup_that_cannot_succeed_ends_and_is_reported() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().is_blind = true;
    let (client, creations) = attempts(&fake);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    let start = Tick::now();
    creations.drain_within(2 * LONG).await.unwrap();
    assert!((1_010..1_080).contains(&Tick::now().since(start).as_secs()));
    let seen = creations.snapshot();
    let call = error.call().id.unwrap().to_string();
    assert_eq!((seen.abandoned, seen.last_abandoned[0].call.as_ref()), (1, Some(&call)));
}

#[tokio::test(start_paused = true)]
async fn one_listing_serves_all_attempts_and_an_outage_is_not_hammered() {
    let fake = Fake::with([Fate::Lost; 50]);
    let (client, creations) = attempts(&fake);
    for _ in 0..50 {
        client.create(&NewSandbox::new("base")).await.unwrap_err();
    }
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), creations.snapshot().killed), (0, 50));
    // Every 5 s for 110 s.
    assert!((20..=25).contains(&fake.world().listed), "{}", fake.world().listed);

    fake.world().fates = vec![Fate::Lost];
    fake.world().is_blind = true;
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    let before = fake.world().listed;
    sleep(600 * SECOND).await;
    let listed = fake.world().listed - before;
    assert!((10..=60).contains(&listed), "{listed} in 10 minutes");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_in_time_and_reports_what_is_left() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().is_blind = true;
    let (client, creations) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    let start = Tick::now();
    let drained = creations.drain_within(10 * SECOND).await;
    assert!(matches!(&drained, Err(OrphansLeft { calls, .. }) if calls.len() == 1), "{drained:?}");
    assert_eq!(Tick::now().since(start), 10 * SECOND);
}

#[test]
fn a_tracker_outlives_its_runtime_and_continues_on_the_next() {
    let fake = Fake::with([Fate::Lost, Fate::Lost]);
    let (client, creations) = attempts(&fake);
    let runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.enable_time().start_paused(true).build().unwrap()
    };
    let first = runtime();
    first.block_on(client.create(&NewSandbox::new("base"))).unwrap_err();
    drop(first);
    assert_eq!((creations.snapshot().open, fake.alive().len()), (1, 1));
    let second = runtime();
    second.block_on(async {
        client.create(&NewSandbox::new("base")).await.unwrap_err();
        creations.drain_within(LONG).await.unwrap();
    });
    assert_eq!((creations.snapshot().killed, fake.alive().len()), (2, 0));
}

#[test]
fn a_call_that_is_dropped_outside_its_runtime_is_cleaned_up_inside() {
    let fake = Fake::with([Fate::Created(LONG)]);
    let (client, creations) = attempts(&fake);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    let new = NewSandbox::new("base");
    let mut call = Box::pin(client.create(&new));
    runtime.block_on(async { assert!(timeout(SECOND, &mut call).await.is_err()) });
    drop(call);
    assert_eq!(creations.snapshot().open, 1);
    runtime.block_on(creations.drain_within(LONG)).unwrap();
    assert_eq!((creations.snapshot().killed, fake.alive().len()), (1, 0));
}

#[test]
fn an_invalid_timing_is_rejected() {
    let timing = Timing::default().look_within(Duration::ZERO);
    assert_eq!(SandboxTracker::with_timing(&config(), timing).unwrap_err(), TimingError::NoLook);
}
