use std::sync::Arc;

use rusqlite::Connection;

use super::{Folder, NOON, Time, bytes, limited, sandbox};
use crate::virtual_keys::{KeyChange, KeyId, Limits, NewKey, Rotation, StoreState, VirtualKeys};

fn used(keys: &VirtualKeys, id: &KeyId) -> u64 {
    keys.get(id).unwrap().usage.concurrent_sandboxes.used
}

#[tokio::test]
async fn keys_and_their_usage_are_there_after_a_kill() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let mut new = limited(3);
    new.limits.sandbox_seconds_per_day = Some(1_000);
    new.templates = Some(vec!["base".to_owned()]);
    let (info, secret) = keys.create(new).unwrap();
    let (_, newer) =
        keys.rotate_with(&info.id, Rotation::grace(std::time::Duration::from_secs(60))).unwrap();
    let revoked = keys.create(NewKey::new("revoked")).unwrap();
    keys.revoke(&revoked.0.id).unwrap();

    keys.reserve(info.id, true)
        .unwrap()
        .runs(&sandbox(1), Some(std::time::Duration::from_secs(100)));
    let in_flight = keys.reserve(info.id, true).unwrap();
    // As a creation does before it is sent.
    in_flight.stored().await;
    let killed = folder.killed();
    time.advance(30_000);
    let again = killed.open(&time);
    assert_eq!(again.find(bytes(&newer)).unwrap().id(), info.id);
    assert_eq!(again.find(bytes(&secret)).unwrap().id(), info.id, "within its grace time");
    assert!(again.find(bytes(&revoked.1)).unwrap().is_revoked());
    let shown = again.get(&info.id).unwrap();
    assert_eq!((&shown.templates, shown.limits), (&info.templates, info.limits));
    assert_eq!(used(&again, &info.id), 2, "one that runs, and one that may");
    assert_eq!(shown.usage.creations_per_day.used, 2);
    assert_eq!(shown.usage.creations_per_minute.used, 2);
    assert_eq!(shown.usage.sandbox_seconds_per_day.used, 30, "it ran meanwhile");
    drop((in_flight, again));
    // It is over while no gateway runs.
    time.advance(3_600_000);
    let later = killed.open(&time);
    assert_eq!(later.get(&info.id).unwrap().usage.sandbox_seconds_per_day.used, 100);
    assert!(later.find(bytes(&secret)).is_none());
}

/// Copies of the files at any moment are what a kill leaves: none of them has forgotten a reservation
/// whose creation was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_forgets_what_was_let_in() {
    const KEYS: usize = 50;
    const LIMIT: u64 = 4;
    let (folder, time) = (Folder::new(), Time::new());
    let keys = Arc::new(folder.open(&time));
    let ids: Vec<_> = (0..KEYS).map(|_| keys.create(limited(LIMIT)).unwrap().0.id).collect();
    let mut calls = tokio::task::JoinSet::new();
    let (sent, mut so_far) = tokio::sync::mpsc::unbounded_channel();
    for at in 0..KEYS * 10 {
        let (keys, id, sent) = (Arc::clone(&keys), ids[at % KEYS], sent.clone());
        calls.spawn(async move {
            let Ok(reservation) = keys.reserve(id, true) else { return };
            reservation.stored().await;
            sent.send(id).unwrap();
            reservation.runs(&sandbox(at), None);
        });
    }
    drop(sent);
    let mut counts = std::collections::HashMap::<KeyId, u64>::new();
    let mut checked = 0;
    while let Some(id) = so_far.recv().await {
        *counts.entry(id).or_default() += 1;
        if counts.values().sum::<u64>().is_multiple_of(40) {
            let known = counts.clone();
            let killed = folder.killed();
            let again = killed.open(&time);
            for (id, sent) in known {
                let used = used(&again, &id);
                assert!(used >= sent && used <= LIMIT, "{sent} were sent, {used} are known");
            }
            checked += 1;
        }
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert!(checked >= 4);
    assert_eq!(counts.len(), KEYS);
    assert!(counts.values().all(|sent| *sent == LIMIT), "{counts:?}");
}

#[test]
fn a_second_gateway_is_rejected_as_long_as_the_first_one_runs() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let error = VirtualKeys::open(Some(&folder.store())).unwrap_err();
    assert_eq!(error.label(), "in_use");
    drop(keys);
    folder.open(&time);
}

#[test]
fn what_cannot_be_read_at_a_start_is_named() {
    let (folder, time) = (Folder::new(), Time::new());
    let key = folder.open(&time).create(limited(1)).unwrap().0;
    let open = || VirtualKeys::open(Some(&folder.store())).map_err(|error| error.to_string());
    let change = |sql: &str| {
        Connection::open(folder.store()).unwrap().execute_batch(sql).unwrap();
    };
    change("PRAGMA user_version = 9");
    assert!(open().unwrap_err().contains("a newer version, with format 9; this one knows up to 2"));
    change("PRAGMA user_version = 2; UPDATE keys SET priority = 'x'");
    assert!(open().unwrap_err().contains(&format!("priority of key {}", key.id)));
    change("PRAGMA application_id = 7");
    assert!(open().unwrap_err().contains("no database of this program"));
    std::fs::write(folder.store(), "not a database at all, and longer than a header ".repeat(50))
        .unwrap();
    assert!(open().unwrap_err().contains("no database of this program"));
    let nowhere = VirtualKeys::open(Some(&folder.0.join("none/keys.db"))).unwrap_err();
    assert_eq!(nowhere.label(), "lock");
}

#[tokio::test]
async fn with_a_damaged_file_calls_go_on_by_the_limits_known() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let (id, one) = {
        let (info, _) = keys.create(limited(2)).unwrap();
        (info.id, keys.reserve(info.id, true).unwrap())
    };
    one.stored().await;
    // Another file is put in its place, and it is damaged.
    let damaged = folder.0.join("damaged");
    std::fs::write(&damaged, [7; 65_536]).unwrap();
    for name in ["keys.db-wal", "keys.db-shm"] {
        drop(std::fs::remove_file(folder.0.join(name)));
    }
    std::fs::rename(damaged, folder.store()).unwrap();

    let two = keys.reserve(id, true).unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_secs(5), two.stored()).await;
    assert!(waited.is_ok());
    assert!(keys.reserve(id, true).is_err(), "the limit holds");
    assert!(!keys.inner.write());
    assert_eq!(keys.store(), StoreState::Unavailable);
    assert!(keys.create(limited(1)).is_err(), "a key that would be lost is not created");
    assert_eq!(keys.list().len(), 1);
    // A change takes effect.
    let mut change = KeyChange::default();
    change.limits.concurrent_sandboxes = Some(Some(3));
    keys.update(&id, change).unwrap();
    let three = keys.reserve(id, true).unwrap();
    // The file is moved away: all is written anew.
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        drop(std::fs::remove_file(folder.0.join(name)));
    }
    assert!(keys.inner.write());
    assert_eq!(keys.store(), StoreState::Available);
    let killed = folder.killed();
    assert_eq!(used(&killed.open(&time), &id), 3);
    drop((one, two, three));
}

#[test]
fn a_full_disk_and_a_lock_of_another_process_pass() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let id = keys.create(limited(2)).unwrap().0.id;
    let other = Connection::open(folder.store()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = keys.reserve(id, true).unwrap();
    assert!(!keys.inner.write(), "it is busy");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(keys.inner.write());
    assert_eq!(used(&folder.killed().open(&time), &id), 1);

    keys.inner.store.as_ref().unwrap().fill();
    let mut created = 0;
    // What is new does not fit in the pages that there are.
    while keys.create(NewKey::new("x".repeat(64))).is_ok() {
        created += 1;
    }
    // The next connection may write more: as after a disk was full.
    assert!(created < 1_000);
    keys.create(NewKey::new("y")).unwrap();
    drop(busy);
}

#[test]
fn the_store_of_each_older_version_is_read() {
    // A store of version 1, as it was written.
    let (folder, time) = (Folder::new(), Time::new());
    let first = crate::virtual_keys::store::MIGRATIONS[0];
    let store = Connection::open(folder.store()).unwrap();
    store.execute_batch(first).unwrap();
    store
        .execute_batch(&format!(
            "INSERT INTO keys VALUES (1, 'a', zeroblob(32), NULL, NULL, {NOON}, NULL, 'batch', 'team',
                '[\"base\"]', 5, NULL, NULL, 60, 0);
             INSERT INTO accounts VALUES (1, {}, 3, 1000, {NOON}, x'');
             INSERT INTO slots VALUES (4, 1, {NOON}, 'i1', {});
             PRAGMA application_id = {}; PRAGMA user_version = 1;",
            NOON / 86_400_000,
            NOON + 5_000,
            0x7364_6b79,
        ))
        .unwrap();
    drop(store);
    time.advance(1_000);
    let keys = folder.open(&time);
    let key = keys.get(&"0000000000000001".parse().unwrap()).unwrap();
    assert_eq!(key.usage.creations_per_day.used, 3);
    assert_eq!(key.usage.sandbox_seconds_per_day.used, 2);
    assert_eq!(key.usage.concurrent_sandboxes.used, 1);
    let limits = Limits {
        concurrent_sandboxes: Some(5),
        sandbox_seconds_per_day: Some(60),
        ..Limits::default()
    };
    assert_eq!(key.limits, limits);
}
