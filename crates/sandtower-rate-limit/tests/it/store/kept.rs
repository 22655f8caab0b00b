use sandtower_core::Scope;
use sandtower_rate_limit::Pace;

use super::*;
use crate::gate::Subscribed;
use crate::support::{acquire, give_back, seconds, take};

#[test]
fn what_was_counted_is_there_after_a_restart_whether_it_was_closed_or_dropped() {
    let folder = Folder::new("restart");
    let mut all = 0;
    for round in 1..=150 {
        let limit = durable(&folder.file());
        assert_eq!(count(&limit), all, "round {round}");
        send(&limit, round % 7);
        all += round % 7;
        match round % 2 {
            0 => limit.close().unwrap(),
            _ => drop(limit),
        }
    }
}

#[test]
fn a_limit_that_was_closed_counts_on_in_memory_and_closes_once() {
    let folder = Folder::new("closed");
    let limit = durable(&folder.file());
    send(&limit, 3);
    limit.close().unwrap();
    send(&limit, 2);
    limit.sync();
    limit.close().unwrap();
    assert_eq!((count(&limit), found(&folder.file())), (5, 3));
    assert_eq!(limit.cleanup(), 0);
}

#[test]
fn holds_are_kept_and_learned_rates_are_not() {
    let folder = Folder::new("held");
    let limit = stored(&folder.file());
    let request = |id| sandtower_core::RequestInfo::new(CREATE).scope(Scope::new(id));
    for id in [1, u64::MAX] {
        let now = Tick::now();
        let permit = acquire(&limit, &request(id), now).unwrap();
        let verdict = Verdict::throttled().retry_after(seconds(40));
        let done = sandtower_core::Completion::new(verdict, now, now);
        support::record(&limit, &request(id), permit, &done);
    }
    send(&limit, 1);
    drop(limit);
    let enforced = Config::new("E2B");
    let store = SqliteStore::new(folder.file(), HOUR);
    let after = RateLimit::with_store(enforced, std::sync::Arc::new(store)).unwrap();
    for id in [1, u64::MAX] {
        let (opens, _) = acquire(&after, &request(id), Tick::now()).unwrap_err();
        let left = opens.since(Tick::now());
        assert!(left > seconds(30) && left <= seconds(41), "{left:?}");
        let known = after.server_limit(CREATE, Scope::new(id)).unwrap();
        assert_eq!((known.paced_every, known.emission_interval, known.limit), (None, None, None));
    }
    assert!(take(&after, CREATE, Tick::now()).is_ok(), "another scope is not held");
}

#[test]
fn what_is_set_for_an_operation_holds_for_one_that_only_the_store_knew() {
    let new = || Config::new("E2B");
    for (number, (set, admitted)) in [
        (new(), 3),
        (new().limit(CREATE, 2), 0),
        (new().limit_each(1).limit(CREATE, 3), 1),
        (new().limit_each(2), 0),
        (new().limit_each(2).exempt(CREATE), 3),
        (new().pace(CREATE, Pace::every(HOUR)), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("set-by-name-{number}"));
        let before = stored(&folder.file());
        send(&before, 2);
        before.close().unwrap();
        let store = SqliteStore::new(folder.file(), HOUR);
        let limit = RateLimit::with_store(set.clone(), std::sync::Arc::new(store)).unwrap();
        assert_eq!(limit.snapshot().by_operation[0].operation, "from the store");
        let taken = (0..3).filter(|_| take(&limit, CREATE, Tick::now()).is_ok()).count();
        assert_eq!(taken, admitted, "{set:?}");
        assert_eq!(limit.snapshot().by_operation[0].operation, CREATE.name());
    }
}

#[test]
fn what_is_given_back_after_it_was_saved_is_not_counted() {
    let folder = Folder::new("given-back");
    let (limit, other) = (stored(&folder.file()), stored(&folder.file()));
    send(&limit, 2);
    let permit = take(&limit, CREATE, Tick::now()).unwrap();
    limit.sync();
    other.sync();
    assert_eq!(count(&other), 3);
    let enforced = {
        let store = std::sync::Arc::new(SqliteStore::new(folder.file(), HOUR));
        RateLimit::with_store(Config::new("E2B").limit(CREATE, 3), store).unwrap()
    };
    let told = Subscribed::to(&enforced);
    assert!(take(&enforced, CREATE, Tick::now()).is_err());
    give_back(&limit, CREATE, permit, Tick::now());
    limit.sync();
    other.sync();
    enforced.sync();
    assert_eq!(told.times(), 1, "another process made room");
    assert_eq!((count(&limit), count(&other), found(&folder.file())), (2, 2, 2));
}

#[test]
fn what_expired_is_removed_in_batches_of_a_hundred_and_five_hundred_a_run() {
    let folder = Folder::new("expired");
    let store = SqliteStore::new(folder.file(), HOUR);
    let entries: Vec<_> = (0..1_200).map(|row| sent(NOW + row * HOUR_MS, 1)).collect();
    let later = NOW + 1_300 * HOUR_MS;
    for (part, entries) in (0..).zip(entries.chunks(50)) {
        store.exchange(entries, NOW + part * 50 * HOUR_MS + 49 * HOUR_MS).unwrap();
    }
    let removed: Vec<_> = (0..4).map(|_| store.cleanup(later).unwrap()).collect();
    assert_eq!(removed, [500, 500, 200, 0]);
    assert_eq!(rows(&folder.file()), 0);
}

#[test]
fn rows_grow_with_time_and_not_with_traffic_scopes_or_restarts() {
    let folder = Folder::new("grows");
    for step in 0..400 {
        let now = NOW + step * HOUR_MS / 200;
        // A restart each time, and a scope that is held each time.
        let store = SqliteStore::new(folder.file(), HOUR);
        let held = Entry::Held { operation: 1, scope: step, until: now + 1_000 };
        let many: Vec<_> = (0..5).map(|_| sent(now, 1_000)).chain([held]).collect();
        store.exchange(&many, now).unwrap();
        if step % 17 == 0 {
            store.cleanup(now).unwrap();
        }
    }
    let rows = rows(&folder.file());
    assert!(rows <= 66 + 20, "{rows}");
    let now = NOW + 2 * HOUR_MS;
    let counted = read(&folder.file(), HOUR, now);
    // An hour of them, and a part more at most.
    assert!((1_000_000..=1_060_000).contains(&counted), "{counted}");
}

#[test]
fn a_window_of_any_length_counts_what_lies_in_it_and_forgets_what_does_not() {
    for days in [1, 7, 30, 365] {
        let folder = Folder::new(&format!("days-{days}"));
        let window = HOUR * 24 * days;
        let length = u64::from(days) * 24 * HOUR_MS;
        let store = SqliteStore::new(folder.file(), window);
        for part in 0..10 {
            let at = NOW + part * length / 10;
            store.exchange(&[sent(at, 10)], at).unwrap();
        }
        for (later, expected) in [(0, 100), (length / 10 + length / 50, 90), (length, 0)] {
            let now = NOW + length * 95 / 100 + later;
            assert_eq!(read(&folder.file(), window, now), expected, "{days} days, {later}");
        }
    }
}

#[test]
fn a_row_six_days_old_leaves_a_window_of_seven_days_in_a_process_that_has_just_begun() {
    let week = HOUR * 24 * 7;
    #[derive(Debug)]
    struct Old;
    impl Store for Old {
        fn exchange(
            &self,
            _: &[Entry],
            now: u64,
        ) -> Result<Vec<Entry>, sandtower_rate_limit::StoreError> {
            Ok(vec![sent(now - 6 * 24 * HOUR_MS, 9)])
        }
        fn cleanup(&self, _: u64) -> Result<u64, sandtower_rate_limit::StoreError> {
            Ok(0)
        }
        fn close(&self) {}
    }
    let limit = RateLimit::with_store(config().window(week), std::sync::Arc::new(Old)).unwrap();
    let now = Tick::now();
    assert_eq!(limit.status_at(CREATE, now).count, 9);
    assert_eq!(limit.status_at(CREATE, now + HOUR * 22).count, 9);
    assert_eq!(limit.status_at(CREATE, now + HOUR * 30).count, 0);
}

#[test]
fn what_others_give_back_notifies_if_a_call_was_turned_away_meanwhile_and_only_then() {
    #[derive(Debug, Default)]
    struct Others(std::sync::Mutex<Vec<Entry>>);
    impl Store for Others {
        fn exchange(
            &self,
            _: &[Entry],
            _: u64,
        ) -> Result<Vec<Entry>, sandtower_rate_limit::StoreError> {
            Ok(std::mem::take(&mut self.0.lock().unwrap()))
        }
        fn cleanup(&self, _: u64) -> Result<u64, sandtower_rate_limit::StoreError> {
            Ok(0)
        }
        fn close(&self) {}
    }
    let others = std::sync::Arc::new(Others::default());
    let config = Config::new("E2B").limit(CREATE, 2);
    let limit = RateLimit::with_store(config, std::sync::Arc::<Others>::clone(&others)).unwrap();
    let told = Subscribed::to(&limit);
    let sync = |counted| {
        others.0.lock().unwrap().push(sent(0, counted));
        limit.sync();
        (count(&limit), told.times())
    };
    let turn_away = || assert!(take(&limit, CREATE, Tick::now()).is_err());
    // What was sent in 1970 has left the window.
    assert_eq!(sync(9), (0, 0));
    let sync = |counted| {
        others.0.lock().unwrap().push(sent(u64::MAX, counted));
        limit.sync();
        (count(&limit), told.times())
    };
    assert_eq!(sync(3), (3, 0));
    assert_eq!(sync(-1), (2, 0), "no call was turned away");
    turn_away();
    assert_eq!(sync(1), (3, 0), "there is no room");
    assert_eq!(sync(-2), (1, 1));
    assert_eq!(sync(-1), (0, 0), "the call was notified already");
}

#[test]
fn the_longest_and_the_shortest_window_are_stores_too() {
    for window in [Duration::from_millis(1), Duration::MAX, Duration::from_nanos(1)] {
        let folder = Folder::new(&format!("extreme-{}", window.as_nanos()));
        let store = SqliteStore::new(folder.file(), window);
        for now in [NOW, u64::MAX, 0, NOW] {
            store.exchange(&[sent(now, 1), sent(u64::MAX, 1), sent(0, -1)], now).unwrap();
            store.cleanup(now).unwrap();
        }
    }
}

#[test]
fn a_clock_that_was_an_hour_ahead_once_counts_each_attempt_once_and_for_a_window() {
    for live in [false, true] {
        let folder = Folder::new(&format!("ahead-{live}"));
        let other = SqliteStore::new(folder.file(), HOUR);
        let mut seen = total(&other.exchange(&[], NOW).unwrap());
        let store = SqliteStore::new(folder.file(), HOUR);
        store.exchange(&[sent(NOW, 10)], NOW).unwrap();
        seen += total(&other.exchange(&[], NOW).unwrap());
        // Its clock is an hour ahead, and right again afterwards.
        let ahead = NOW + HOUR_MS;
        store.exchange(&[sent(ahead, 100)], ahead).unwrap();
        if live {
            seen += total(&other.exchange(&[], NOW + 1_000).unwrap());
        }
        for minute in 0..5 {
            let now = NOW + minute * 60_000;
            store.exchange(&[sent(now, 1)], now).unwrap();
            seen += total(&other.exchange(&[], now).unwrap());
            let begins_now = read(&folder.file(), HOUR, now);
            assert_eq!(begins_now, 111 + minute as i64, "{live} {minute}");
        }
        assert_eq!(seen, 115, "what others see, they see once: {live}");
        // It counts for a window from when the clock was right again, and not at every start.
        let later = NOW + HOUR_MS + 10 * 60_000;
        assert_eq!(read(&folder.file(), HOUR, later), 0, "{live}");
    }
}
