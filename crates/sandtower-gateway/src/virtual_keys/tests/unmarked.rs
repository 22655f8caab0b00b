use std::time::Duration;

use sandtower::pool::Receive as _;

use super::{Folder, Time, limited, sandbox};
use crate::virtual_keys::{KeyId, Listed, NewKey, VirtualKeys};

fn used(keys: &VirtualKeys, id: &KeyId) -> u64 {
    keys.get(id).unwrap().usage.concurrent_sandboxes.used
}

/// Gives a sandbox from stock to the key, for 100 s.
async fn give(keys: &VirtualKeys, id: KeyId, number: usize) {
    let reservation = keys.reserve(id, true).unwrap();
    let from_stock = reservation.receiver();
    assert!(from_stock.assigned(&sandbox(number)).await);
    from_stock.delivered(&sandbox(number), Duration::from_secs(100));
    assert!(from_stock.is_delivered());
    reservation.served();
}

fn running(all: &[usize]) -> Listed {
    Listed { is_whole: true, running: all.iter().map(|at| (sandbox(*at), None)).collect() }
}

#[tokio::test]
async fn whose_a_sandbox_from_stock_is_survives_a_kill_at_any_moment() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let ids = [keys.create(limited(5)).unwrap().0.id, keys.create(limited(5)).unwrap().0.id];
    give(&keys, ids[0], 1).await;
    // One that is killed right after the sandbox was assigned: the response was never sent.
    let reservation = keys.reserve(ids[1], true).unwrap();
    let from_stock = reservation.receiver();
    assert!(from_stock.assigned(&sandbox(2)).await);
    let again = folder.killed().open(&time);
    for (id, number) in [(ids[0], 1), (ids[1], 2)] {
        assert_eq!(again.owner_of(&sandbox(number)).unwrap().id(), id);
        assert_eq!(again.unmarked_owner(&sandbox(number)), Some(id));
        assert_eq!(used(&again, &id), 1, "it counts");
    }
    // It ends: a listing lacks it.
    time.advance(20_001);
    again.compare("team", &running(&[1]), again.now());
    assert_eq!((used(&again, &ids[0]), used(&again, &ids[1])), (1, 0));
    assert!(again.owner_of(&sandbox(2)).is_none());
    drop(reservation);
}

#[tokio::test]
async fn a_sandbox_that_is_not_given_after_all_is_no_keys_and_the_place_is_as_it_was() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(1)).unwrap().0.id;
    let reservation = keys.reserve(id, true).unwrap();
    let from_stock = reservation.receiver();
    assert!(from_stock.assigned(&sandbox(1)).await);
    from_stock.withdrawn(&sandbox(1));
    assert!(keys.owner_of(&sandbox(1)).is_none() && !from_stock.is_delivered());
    assert_eq!(used(&keys, &id), 1, "the call goes on");
    // Another one, then one that is created for it.
    assert!(from_stock.assigned(&sandbox(2)).await);
    from_stock.withdrawn(&sandbox(2));
    reservation.runs(&sandbox(3), None);
    assert_eq!(keys.owner_of(&sandbox(3)).unwrap().id(), id);
    assert_eq!((used(&keys, &id), keys.has_unmarked(id)), (1, false));
    keys.stopped(&sandbox(3)).await;
    // A creation that fails for sure does not count.
    let reservation = keys.reserve(id, true).unwrap();
    let from_stock = reservation.receiver();
    assert!(from_stock.assigned(&sandbox(4)).await);
    from_stock.withdrawn(&sandbox(4));
    reservation.started_nothing();
    let usage = keys.get(&id).unwrap().usage;
    assert_eq!((usage.concurrent_sandboxes.used, usage.creations_per_day.used), (0, 1));
    // What is stored for a call has all that was before.
    keys.reserve(id, true).unwrap().stored().await;
    let again = folder.killed().open(&time);
    assert!((1..=4).all(|number| again.owner_of(&sandbox(number)).is_none()));
}

#[tokio::test]
async fn what_is_paused_stays_its_keys_and_what_has_ended_is_forgotten() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(5)).unwrap().0.id;
    for number in 1..=3 {
        give(&keys, id, number).await;
    }
    keys.pauses(&sandbox(1));
    keys.stopped(&sandbox(1)).await;
    keys.gone(&sandbox(2)).await;
    assert!(keys.owner_of(&sandbox(2)).is_none(), "it was killed");
    assert_eq!(used(&keys, &id), 1);
    time.advance(30_000);
    keys.compare("team", &running(&[]), keys.now());
    assert_eq!(keys.owner_of(&sandbox(1)).unwrap().id(), id, "it is paused");
    assert!(keys.owner_of(&sandbox(3)).is_none(), "it has ended");
    // The service is asked about it, now and then.
    assert!(keys.to_ask("team", 5).is_empty(), "not yet");
    time.advance(600_000);
    assert!(keys.to_ask("other", 5).is_empty());
    assert_eq!(keys.to_ask("team", 5), [sandbox(1)]);
    assert!(keys.to_ask("team", 5).is_empty(), "once in ten minutes");
    // It is resumed elsewhere, and then counted.
    keys.compare("team", &running(&[1]), keys.now());
    assert_eq!(used(&keys, &id), 1);
    keys.gone(&sandbox(1)).await;
    let again = folder.killed().open(&time);
    assert_eq!((used(&again, &id), again.has_unmarked(id)), (0, false));
}

#[tokio::test]
async fn without_a_store_that_can_be_written_no_sandbox_from_stock_is_given_away() {
    let (folder, time) = (Folder::new(), Time::new());
    let memory = VirtualKeys::with_clock(None, time.clock()).unwrap();
    memory.configure(&folder.upstreams(), &[]);
    let id = memory.create(limited(5)).unwrap().0.id;
    assert!(!memory.keeps_unmarked());
    assert!(!memory.reserve(id, true).unwrap().receiver().assigned(&sandbox(1)).await);

    let keys = folder.open(&time);
    let id = keys.create(NewKey::new("key")).unwrap().0.id;
    assert!(keys.keeps_unmarked());
    keys.inner.store.as_ref().unwrap().fill();
    let mut refused = false;
    for number in 0..10_000 {
        let reservation = keys.reserve(id, true);
        let Ok(reservation) = reservation else { break };
        let from_stock = reservation.receiver();
        if !from_stock.assigned(&sandbox(number)).await {
            from_stock.withdrawn(&sandbox(number));
            refused = true;
            break;
        }
        from_stock.delivered(&sandbox(number), Duration::from_secs(100));
        reservation.served();
    }
    assert!(refused && !keys.keeps_unmarked());
}
