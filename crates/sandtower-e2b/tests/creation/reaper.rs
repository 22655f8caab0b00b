//! The task in the background.

use std::time::Duration;

use sandtower_core::Clock;
use sandtower_e2b::{Creations, NewSandbox, Timing, TimingError, Unsettled};
use sandtower_time::TokioClock;
use tokio::time::{sleep, timeout};

use super::fake::{Fake, Fate, attempts, config};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1_000);

#[tokio::test(start_paused = true)]
async fn a_kill_is_tried_until_it_succeeds() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().kills_fail = 7;
    let (client, creations) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    creations.drain(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), fake.world().kills), (0, 8));
    assert_eq!(creations.snapshot().killed, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_settled_is_given_up_in_the_end_and_named() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().is_blind = true;
    let (client, creations) = attempts(&fake);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    let start = TokioClock.now();
    creations.drain(2 * LONG).await.unwrap();
    assert!((1_010..1_080).contains(&TokioClock.now().since(start).as_secs()));
    let seen = creations.snapshot();
    let call = error.call().id.unwrap().to_string();
    assert_eq!((seen.given_up, seen.last_given_up[0].call.as_ref()), (1, Some(&call)));
}

#[tokio::test(start_paused = true)]
async fn one_listing_serves_all_that_is_open_and_an_outage_is_not_hammered() {
    let fake = Fake::with([Fate::Lost; 50]);
    let (client, creations) = attempts(&fake);
    for _ in 0..50 {
        client.create(&NewSandbox::new("base")).await.unwrap_err();
    }
    creations.drain(LONG).await.unwrap();
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
async fn who_drains_waits_no_longer_than_told_and_hears_what_is_left() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().is_blind = true;
    let (client, creations) = attempts(&fake);
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    let start = TokioClock.now();
    let drained = creations.drain(10 * SECOND).await;
    assert!(matches!(drained, Err(Unsettled { left: 1, .. })), "{drained:?}");
    assert_eq!(TokioClock.now().since(start), 10 * SECOND);
}

#[test]
fn an_account_outlives_its_runtime_and_goes_on_in_the_next() {
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
        creations.drain(LONG).await.unwrap();
    });
    assert_eq!((creations.snapshot().killed, fake.alive().len()), (2, 0));
}

#[test]
fn a_call_that_is_dropped_outside_of_its_runtime_is_seen_to_inside() {
    let fake = Fake::with([Fate::Made(LONG)]);
    let (client, creations) = attempts(&fake);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    let new = NewSandbox::new("base");
    let mut call = Box::pin(client.create(&new));
    runtime.block_on(async { assert!(timeout(SECOND, &mut call).await.is_err()) });
    drop(call);
    assert_eq!(creations.snapshot().open, 1);
    runtime.block_on(creations.drain(LONG)).unwrap();
    assert_eq!((creations.snapshot().killed, fake.alive().len()), (1, 0));
}

#[test]
fn a_timing_that_makes_no_sense_is_rejected() {
    let timing = Timing::default().look_within(Duration::ZERO);
    assert_eq!(Creations::with_timing(&config(), timing).unwrap_err(), TimingError::NoLook);
}
