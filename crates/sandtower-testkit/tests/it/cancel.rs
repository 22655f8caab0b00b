//! A future is cancelled at every point.

use std::{cell::Cell, future::poll_fn, rc::Rc, task::Poll, time::Duration};

use sandtower_testkit::{Mock, Reply, cancel_at_every_poll};
use tokio::time::sleep;
use tower::{Service, ServiceExt};

#[test]
fn a_future_is_dropped_before_and_after_each_poll_and_after_each_wake_up() {
    let steps = || {
        let done = Rc::new(Cell::new(0));
        let counter = Rc::clone(&done);
        let future = async move {
            for _ in 0..2 {
                counter.set(counter.get() + 1);
                sleep(Duration::from_secs(1)).await;
            }
        };
        (future, done)
    };
    let mut seen = Vec::new();
    let polls = cancel_at_every_poll(steps, async |cancelled, done| {
        assert_eq!(Rc::strong_count(&done), 1, "the future is gone: {cancelled}");
        seen.push((cancelled.to_string(), done.get()));
    });
    assert_eq!(polls, 3);
    let seen: Vec<_> = seen.iter().map(|(cancelled, done)| (cancelled.as_str(), *done)).collect();
    assert_eq!(
        seen,
        [
            ("cancelled after 0 polls", 0),
            ("cancelled after 0 polls, when it was woken again", 0),
            ("cancelled after 1 polls", 1),
            ("cancelled after 1 polls, when it was woken again", 1),
            ("cancelled after 2 polls", 2),
            ("cancelled after 2 polls, when it was woken again", 2),
            ("finished after 3 polls", 2),
        ]
    );
}

#[test]
fn a_future_that_hangs_is_cancelled_while_it_hangs() {
    let mut cancellations = 0;
    let polls = cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
            (mock.oneshot(1), handle)
        },
        async |cancelled, handle| {
            cancellations += 1;
            assert!(!cancelled.finished);
            assert_eq!(handle.counts().in_flight, 0, "{cancelled}");
        },
    );
    assert_eq!((polls, cancellations), (1, 4));
}

#[test]
fn what_is_left_is_checked_on_the_same_runtime() {
    cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::always(7);
            handle.limit_reservations(1);
            (mock.clone().oneshot(1), (mock, handle))
        },
        async |cancelled, (mut mock, _handle)| {
            sleep(Duration::from_secs(1)).await;
            let response = mock.ready().await.map(|mock| mock.call(2));
            assert_eq!(response.expect("ready").await.expect("responseed"), 7, "{cancelled}");
        },
    );
}

#[test]
#[should_panic(expected = "the future spins")]
fn a_spinning_future_panics() {
    let spin = || {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    };
    cancel_at_every_poll(|| (spin(), ()), async |_, ()| {});
}
