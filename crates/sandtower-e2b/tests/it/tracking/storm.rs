//! Many creations, each with a fault: 0 orphaned, 0 duplicates, 0 killed while owned.

use std::collections::BTreeSet;
use std::time::Duration;

use sandtower_core::{Rng, Seed};
use sandtower_e2b::NewSandbox;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::fake::{Fake, Fate, retried};

const CALLS: usize = 300;
const AT_ONCE: usize = 10;
const LONG: Duration = Duration::from_secs(10_000);

fn fate(rng: &mut Rng) -> Fate {
    match rng.u64(0..100) {
        0..8 => Fate::Lost,
        8..12 => Fate::Late(Duration::from_millis(rng.u64(0..90_000))),
        12..20 => Fate::Full,
        _ => Fate::Created(Duration::from_millis(rng.u64(0..6_000))),
    }
}

/// Runs a storm in which callers may go away within 8 s.
async fn storm(seed: u64, may_go: bool) {
    let mut rng = Seed::fixed(seed).rng();
    let fates: Vec<Fate> = (0..CALLS * 4).map(|_| fate(&mut rng)).collect();
    let fake = Fake::with(fates);
    let (client, tracker) = retried(&fake);
    let (mut calls, mut owned) = (JoinSet::new(), Vec::new());
    for _ in 0..CALLS {
        if calls.len() == AT_ONCE {
            owned.extend(calls.join_next().await.unwrap().unwrap());
        }
        let client = client.clone();
        let patience = if may_go && rng.bool() { rng.u64(0..8_000) } else { 3_600_000 };
        calls.spawn(async move {
            let new = NewSandbox::new("base");
            let call = client.create(&new);
            let created = timeout(Duration::from_millis(patience), call).await;
            created.ok()?.ok().map(|sandbox| sandbox.id().to_string())
        });
    }
    owned.extend(calls.join_all().await.into_iter().flatten());
    tracker.drain_within(LONG).await.unwrap();
    sleep(LONG).await;
    let alive: BTreeSet<String> = fake.alive().into_iter().collect();
    let distinct: BTreeSet<String> = owned.iter().cloned().collect();
    let of = format!("seed {seed}, callers go away: {may_go}");
    assert_eq!(distinct.len(), owned.len(), "{of}: one sandbox for two callers");
    assert_eq!(alive.difference(&distinct).count(), 0, "{of}: left behind");
    assert_eq!(distinct.difference(&alive).count(), 0, "{of}: ended while owned");
    assert!(owned.len() > CALLS / 3, "{of}: {} of {CALLS}", owned.len());
    assert!(fake.world().created > owned.len(), "{of}: it was no storm");
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_the_running_sandboxes_are_those_with_an_owner() {
    for seed in 1..=3 {
        for may_go in [false, true] {
            storm(seed, may_go).await;
        }
    }
}
