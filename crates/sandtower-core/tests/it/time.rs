//! The clock follows a paused runtime, its origin is one for all, and a timer fires in time.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use sandtower_core::{Sleep, Tick};

#[tokio::test(start_paused = true)]
async fn the_clock_stands_still_until_the_test_advances_it() {
    let start = Tick::now();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(Tick::now().since(start), Duration::from_secs(3_600));
}

#[test]
fn a_runtime_that_paused_before_the_first_reading_still_has_ticks() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (early, late) = (runtime().unwrap(), runtime().unwrap());
    late.block_on(async { Tick::now() });
    early.block_on(async {
        let start = Tick::now();
        assert!(start > Tick::ZERO);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(Tick::now().since(start), Duration::from_millis(1));
    });
}

#[tokio::test(start_paused = true)]
async fn a_sleep_can_be_set_to_another_instant_while_it_waits() {
    let start = Tick::now();
    let mut sleep = Box::pin(Sleep::until(Tick::MAX));
    let waited = tokio::time::timeout(Duration::from_secs(86_400), &mut sleep).await;
    assert!(waited.is_err(), "an instant that never comes came");

    sleep.as_mut().reset(Tick::now() + Duration::from_secs(5));
    sleep.await;
    assert_eq!(Tick::now().since(start), Duration::from_secs(86_405));
}

#[tokio::test(start_paused = true)]
async fn a_sleep_fires_although_the_cooperative_budget_is_used_up() {
    let at = Tick::now() + Duration::from_millis(5);
    let (mut ours, mut tokios) =
        (Box::pin(Sleep::until(at)), Box::pin(tokio::time::sleep(Duration::from_millis(5))));
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    (0..10_000).for_each(|n| sender.send(n).unwrap());
    let mut poll = async || {
        poll_fn(|cx| {
            // Until tokio itself says that the budget of this poll is used up.
            while receiver.poll_recv(cx).is_ready() {}
            let fired = (ours.as_mut().poll(cx).is_ready(), tokios.as_mut().poll(cx).is_ready());
            Poll::Ready(fired)
        })
        .await
    };
    assert_eq!(poll().await, (false, false));
    tokio::time::advance(Duration::from_millis(10)).await;
    assert_eq!(poll().await, (true, false), "ours, and a timer of tokio's own");
}

#[test]
fn a_sleep_goes_on_in_another_runtime_when_its_own_has_ended() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (first, second) = (runtime().unwrap(), runtime().unwrap());
    let mut sleep = None;
    first.block_on(async {
        let sleep = sleep.insert(Box::pin(Sleep::until(Tick::now() + Duration::from_secs(5))));
        assert!(polled_once(sleep).await.is_pending());
    });
    let mut sleep = sleep.unwrap();
    drop(first);
    second.block_on(async {
        assert!(polled_once(&mut sleep).await.is_pending());
        sleep.await;
    });
}

async fn polled_once(sleep: &mut std::pin::Pin<Box<Sleep>>) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await
}
