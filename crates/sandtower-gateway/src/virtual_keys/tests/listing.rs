use super::{Folder, Time, limited, sandbox};
use crate::virtual_keys::{KeyId, Listed, VirtualKeys};

fn used(keys: &VirtualKeys, id: &KeyId) -> u64 {
    keys.get(id).unwrap().usage.concurrent_sandboxes.used
}

fn listed(running: &[(usize, KeyId)]) -> Listed {
    let running = running.iter().map(|(at, key)| (sandbox(*at), Some(*key))).collect();
    Listed { running, is_whole: true }
}

#[test]
fn what_a_listing_shows_is_counted_and_what_it_lacks_is_not() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(5)).unwrap().0.id;
    keys.reserve(id, true).unwrap().runs(&sandbox(1), None);
    keys.reserve(id, true).unwrap().runs(&sandbox(2), None);
    // Too new to be listed.
    keys.compare("team", &listed(&[]), keys.now());
    assert_eq!(used(&keys, &id), 2);
    time.advance(20_001);
    keys.compare("team", &listed(&[(2, id), (3, id)]), keys.now());
    assert_eq!(used(&keys, &id), 2);
    assert!(keys.owner_of(&sandbox(1)).is_none());
    assert_eq!(keys.owner_of(&sandbox(3)).unwrap().id(), id);
    keys.compare("other", &listed(&[]), keys.now());
    assert_eq!(used(&keys, &id), 2, "that is the listing of another key of the service");
    time.advance(20_001);
    keys.compare("team", &Listed { running: vec![(sandbox(9), None)], is_whole: true }, keys.now());
    assert_eq!(used(&keys, &id), 0, "one without a mark is no key's");
}

#[test]
fn a_listing_that_lacks_a_place_adds_and_takes_nothing_away() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(5)).unwrap().0.id;
    keys.reserve(id, true).unwrap().runs(&sandbox(1), None);
    time.advance(20_001);
    keys.compare("team", &Listed { is_whole: false, ..listed(&[(2, id)]) }, keys.now());
    assert_eq!(used(&keys, &id), 2);
    keys.compare("team", &listed(&[(2, id)]), keys.now());
    assert_eq!(used(&keys, &id), 1);
}

#[tokio::test]
async fn a_listing_that_began_before_a_kill_does_not_bring_the_sandbox_back() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(5)).unwrap().0.id;
    keys.reserve(id, true).unwrap().runs(&sandbox(1), None);
    let began = keys.now();
    time.advance(1);
    keys.stopped(&sandbox(1)).await;
    keys.compare("team", &listed(&[(1, id)]), began);
    assert_eq!(used(&keys, &id), 0);
    time.advance(1);
    keys.compare("team", &listed(&[(1, id)]), keys.now());
    assert_eq!(used(&keys, &id), 1, "it was resumed elsewhere");
}

#[test]
fn a_place_in_doubt_is_taken_until_it_is_known_that_nothing_is_left() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(5)).unwrap().0.id;
    drop(keys.reserve(id, true).unwrap());
    let mut untracked = keys.reserve(id, true).unwrap();
    untracked.untracked();
    drop(untracked);
    let in_flight = keys.reserve(id, true).unwrap();
    let doubts = keys.doubts("team");
    // Of a call that ends after this nothing is known.
    drop(keys.reserve(id, true).unwrap());
    keys.resolved(doubts);
    assert_eq!(used(&keys, &id), 3);
    let usage = keys.get(&id).unwrap().usage;
    assert_eq!(usage.creations_per_day.used, 3, "one has created nothing, and does not count");
    time.advance(120_001);
    keys.compare("team", &listed(&[]), keys.now());
    assert_eq!(used(&keys, &id), 1, "a call in flight is a call in flight");
    assert_eq!(keys.get(&id).unwrap().usage.creations_per_day.used, 3, "these may have");
    in_flight.started_nothing();
    assert_eq!(used(&keys, &id), 0);
}
