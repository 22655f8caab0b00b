//! The generator on a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sandtower_core::Tick;
use sandtower_load::{
    Arrival, Arrivals, Ended, Load, Part, Timeline, Until, calls, drive, ms, spend,
};
use tokio::time::sleep;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_user_starts_its_next_call_when_its_last_is_over() {
    let load = Load::new(Arrivals::Closed { users: 3 }, Until::Calls(4)).unwrap();
    let at_once = Arc::new(AtomicU32::new(0));
    let mut ended = Vec::new();
    let call = |_| {
        let at_once = Arc::clone(&at_once);
        async move {
            let inside = at_once.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(secs(2)).await;
            at_once.fetch_sub(1, Ordering::Relaxed);
            inside
        }
    };
    let driven = drive(&load, call, |call: Ended<u32>| ended.push(call)).await;
    assert_eq!((driven.started, driven.dropped), (12, 0));
    assert_eq!(driven.ended.since(driven.began), secs(8));
    assert!(ended.iter().all(|call| call.output <= 3 && call.took() == secs(2)));
    let numbers = |user| ended.iter().filter(move |call| call.arrival.user == user);
    for user in 1..=3 {
        let numbers: Vec<_> = numbers(user).map(|call| call.arrival.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "user {user}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_does_not_wait_for_the_service() {
    let load = Load::new(Arrivals::even(10.0).unwrap(), Until::Time(secs(3))).unwrap();
    let mut starts = Vec::new();
    let driven = drive(&load, |_| sleep(secs(60)), |call| starts.push(call.arrival.meant)).await;
    assert_eq!(driven.started, 30);
    assert_eq!(starts.len(), 30);
    assert!(starts.windows(2).all(|two| two[1].since(two[0]) == Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn arrivals_beyond_the_bound_are_dropped_and_counted() {
    let load = Load::new(Arrivals::even(10.0).unwrap(), Until::Calls(30)).unwrap();
    let driven = drive(&load.max_in_flight(4), |_| sleep(secs(1)), |_| {}).await;
    assert_eq!(driven.started + driven.dropped, 30);
    // Four a second for the three seconds in which they come.
    assert_eq!(driven.started, 12);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_starts_late_counts_from_when_it_was_meant_to() {
    let load = Load::new(Arrivals::even(1.0).unwrap(), Until::Calls(3)).unwrap();
    let mut late = Vec::new();
    // The second keeps the whole generator busy for 5 s when it starts.
    let call = |arrival: Arrival| {
        let busy = if arrival.number == 2 { secs(5) } else { Duration::ZERO };
        tokio::time::advance(busy)
    };
    drive(&load, call, |call| late.push((call.is_late(), call.took()))).await;
    assert_eq!(late.len(), 3);
    let (is_late, took) = late[2];
    assert!(is_late && took >= secs(4), "{late:?}");
    assert!(!late[0].0 && !late[1].0, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_at_random_come_at_the_rate_and_the_same_seed_repeats_them() {
    let load = Load::new(Arrivals::poisson(5.0).unwrap(), Until::Calls(5_000)).unwrap();
    let starts = async |seed| {
        let mut starts = Vec::new();
        let driven = drive(
            &load.clone().seed(seed),
            |_| std::future::ready(()),
            |call| starts.push(call.arrival.meant),
        )
        .await;
        starts.sort();
        starts.into_iter().map(|at: Tick| at.since(driven.began)).collect::<Vec<_>>()
    };
    let first = starts(3).await;
    assert_eq!(first, starts(3).await);
    assert_ne!(first, starts(4).await);
    let rate = 5_000.0 / first[4_999].as_secs_f64();
    assert!((4.7..5.3).contains(&rate), "{rate}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_counted_and_ends_nothing_else() {
    let load = Load::new(Arrivals::even(1.0).unwrap(), Until::Calls(3)).unwrap();
    let call = |arrival: Arrival| async move { assert_ne!(arrival.number, 2, "on purpose") };
    let mut over = 0;
    let driven = drive(&load, call, |_| over += 1).await;
    assert_eq!((driven.started, driven.panicked, over), (3, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_load_ends_its_calls() {
    let load = Load::new(Arrivals::Closed { users: 5 }, Until::Calls(1)).unwrap();
    let held = Arc::new(());
    let call = |_| {
        let held = Arc::clone(&held);
        async move {
            sleep(secs(3_600)).await;
            drop(held);
        }
    };
    let stopped = tokio::time::timeout(secs(1), drive(&load, call, |_| {})).await;
    assert!(stopped.is_err());
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_call_is_recorded_by_kind_of_work() {
    let timeline = Timeline::default();
    assert!(Timeline::current().is_none());
    let call = async {
        spend(Part::Queued);
        sleep(secs(3)).await;
        spend(Part::Attempt);
        sleep(secs(2)).await;
        spend(Part::Attempt);
        sleep(secs(1)).await;
        spend(Part::Backoff);
        // A task of its own is not the call.
        tokio::spawn(async { spend(Part::Check) }).await.unwrap();
    };
    timeline.of(call).await;
    let spent = timeline.spent(Tick::now() + secs(4));
    let spent: Vec<_> = spent.into_iter().map(|spent| (spent.what, spent.ms)).collect();
    let expected =
        [(Part::Queued, 3), (Part::Attempt, 3), (Part::Backoff, 4)].map(|(p, s)| (p, ms(secs(s))));
    assert_eq!(spent, expected);
}

mod services {
    use std::convert::Infallible;

    use tower::limit::ConcurrencyLimitLayer;
    use tower::{ServiceBuilder, service_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_is_made_ready_before_it_is_called() {
        let work = service_fn(|number: u64| async move {
            sleep(secs(1)).await;
            Ok::<_, Infallible>(number)
        });
        // It panics if it is called without having been polled ready.
        let service = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(work);
        let load = Load::new(Arrivals::Closed { users: 4 }, Until::Calls(1)).unwrap();
        let mut outputs = Vec::new();
        let call = calls(service, |arrival| u64::from(arrival.user));
        let driven = drive(&load, call, |call| outputs.push(call.output.unwrap())).await;
        outputs.sort_unstable();
        assert_eq!(outputs, [1, 2, 3, 4]);
        assert_eq!(driven.ended.since(driven.began), secs(4));
    }
}
