//! The clock follows a paused runtime, and its origin is one for all.

use std::time::Duration;

use sandtower_core::{Clock, Tick};
use sandtower_time::{Sleep, TokioClock};

#[tokio::test(start_paused = true)]
async fn stands_still_unless_the_test_lets_time_pass() {
    let start = TokioClock.now();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(TokioClock.now().since(start), Duration::from_secs(3_600));
}

#[test]
fn a_runtime_that_paused_before_the_first_reading_still_has_ticks() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (early, late) = (runtime().unwrap(), runtime().unwrap());
    late.block_on(async { TokioClock.now() });
    early.block_on(async {
        let start = TokioClock.now();
        assert!(start > Tick::ZERO);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(TokioClock.now().since(start), Duration::from_millis(1));
    });
}

#[tokio::test(start_paused = true)]
async fn a_sleep_can_be_set_to_another_instant_while_it_waits() {
    let start = TokioClock.now();
    let mut sleep = Box::pin(Sleep::until(Tick::MAX));
    let waited = tokio::time::timeout(Duration::from_secs(86_400), &mut sleep).await;
    assert!(waited.is_err(), "an instant that never comes came");

    sleep.as_mut().reset(TokioClock.now() + Duration::from_secs(5));
    sleep.await;
    assert_eq!(TokioClock.now().since(start), Duration::from_secs(86_405));
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_down_does_not_outlive_the_call() {
    let start = TokioClock.now();
    let answer = TokioClock.hand_down(start, || async { TokioClock.begin() });
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(answer.await.since(start), Duration::from_secs(1));
}

#[test]
fn nothing_is_handed_from_one_runtime_to_the_next() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (one, other) = (runtime().unwrap(), runtime().unwrap());
    one.block_on(async {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        TokioClock.hand_down(TokioClock.now(), || ());
    });
    other.block_on(async { assert_eq!(TokioClock.begin(), TokioClock.now()) });
}
