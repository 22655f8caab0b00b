//! The mock replies as scripted, checks its callers, and counts.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
    time::Duration,
};

use sandtower_testkit::{Counts, Handle, Mock, Readiness, Reply, Rule};
use tokio::time::timeout;
use tower::{Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn numbers() -> (Mock<u64, u64>, Handle<u64, u64>) {
    Mock::new(|request, _| Reply::ok(request))
}

fn poll_ready(mock: &mut Mock<u64, u64>) -> Poll<Result<(), sandtower_testkit::BoxError>> {
    mock.poll_ready(&mut Context::from_waker(Waker::noop()))
}

mod replies {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_script_sees_the_request_and_how_many_calls_came_before() {
        let (mock, _handle) = Mock::new(|request: u64, call| Reply::ok((request, call)));
        assert_eq!(mock.clone().oneshot(5).await.expect("a response"), (5, 0));
        assert_eq!(mock.clone().oneshot(6).await.expect("a response"), (6, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn replies_in_turn_come_in_turn() {
        let (mock, _handle) = Mock::in_turn([Reply::err("busy"), Reply::ok(7), Reply::err("gone")]);
        let error = mock.clone().oneshot(()).await.expect_err("the first fails");
        assert_eq!(error.to_string(), "busy");
        assert_eq!(mock.clone().oneshot(()).await.expect("a response"), 7);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "the script of the mock ends before call 1")]
    async fn a_call_past_the_last_reply_in_turn_panics() {
        let (mock, _handle) = Mock::in_turn([Reply::ok(7)]);
        let _ = mock.clone().oneshot(()).await;
        let _ = mock.clone().oneshot(()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_counts_from_the_call_and_delays_add_up() {
        let (mut mock, _handle) =
            Mock::new(|_: u64, _| Reply::ok(7).after(2 * SECOND).after(3 * SECOND));
        let call = mock.ready().await.expect("ready").call(1);
        let started = tokio::time::sleep(5 * SECOND).deadline() - 5 * SECOND;
        assert_eq!(call.await.expect("a response"), 7);
        let ended = tokio::time::sleep(Duration::ZERO).deadline();
        assert!((5 * SECOND..6 * SECOND).contains(&(ended - started)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hang_never_completes() {
        let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
        assert!(timeout(3600 * SECOND, mock.oneshot(1)).await.is_err());
        assert_eq!(handle.counts().dropped_early, 1);
    }
}

mod readiness {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_evaluated_once_before_each_call_of_each_instance() {
        let (mut mock, handle) = numbers();
        let (info, log) = std::sync::mpsc::channel();
        handle.set_readiness(move |instance| {
            let _ = info.send(instance.to_string());
            Readiness::After(SECOND)
        });
        mock.ready().await.expect("ready").call(1).await.expect("a response");
        mock.ready().await.expect("ready");
        mock.ready().await.expect("still ready");
        mock.clone().oneshot(1).await.expect("a response");
        let info: Vec<_> = log.try_iter().collect();
        assert_eq!(info, ["original #0", "original #0", "clone #1, cloned from #0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn can_fail_and_another_instance_takes_over() {
        let (mut mock, handle) = numbers();
        handle.set_readiness(|_| Readiness::Err("closed".into()));
        assert_eq!(mock.ready().await.expect_err("scripted").to_string(), "closed");
        handle.set_readiness(|_| Readiness::Ready);
        assert_eq!(mock.clone().oneshot(1).await.expect("a response"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn that_failed_allows_neither_a_poll_nor_a_call() {
        let (mut mock, handle) = numbers();
        handle.set_readiness(|_| Readiness::Err("closed".into()));
        assert!(mock.ready().await.is_err());
        handle.set_readiness(|_| Readiness::Ready);
        let polled = catch_unwind(AssertUnwindSafe(|| poll_ready(&mut mock)));
        assert!(polled.is_err());
        let called = catch_unwind(AssertUnwindSafe(|| drop(mock.call(1))));
        assert!(called.is_err());
        let rules: Vec<_> = handle.violations().iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, [Rule::FailedInstancesAreNotUsed; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_is_busy_leaves_no_budget_to_others() {
        let (mut mock, handle) = numbers();
        handle.set_readiness(|_| Readiness::Busy);
        assert!(poll_ready(&mut mock).is_pending());
        assert!(!tokio::task::coop::has_budget_remaining());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_instances_are_woken_when_the_script_is_replaced() {
        let (mock, handle) = numbers();
        handle.set_readiness(|_| Readiness::Pending);
        let waits = tokio::spawn(mock.oneshot(5));
        tokio::time::sleep(SECOND).await;
        assert!(!waits.is_finished());
        handle.set_readiness(|_| Readiness::Ready);
        assert_eq!(waits.await.expect("no panic").expect("a response"), 5);
        assert_eq!(handle.counts().wakes, 1);
    }
}

mod reservations {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pass_from_readiness_to_call_and_come_back_with_the_response() {
        let (mut mock, handle) =
            Mock::<u64, u64>::new(|request, _| Reply::ok(request).after(SECOND));
        let mut other = mock.clone();
        handle.limit_reservations(1);
        let call = mock.ready().await.expect("ready").call(1);
        assert!(poll_ready(&mut other).is_pending(), "the call in flight holds it");
        call.await.expect("a response");
        assert!(poll_ready(&mut other).is_ready());
        assert_eq!(handle.holders(), [other.instance()]);
    }

    #[tokio::test(start_paused = true)]
    async fn go_to_queued_instances_in_order_and_not_to_a_newcomer() {
        let (mut holder, handle) = numbers();
        let (mut first, mut second) = (holder.clone(), holder.clone());
        handle.limit_reservations(1);
        assert!(poll_ready(&mut holder).is_ready());
        assert!(poll_ready(&mut first).is_pending());
        assert!(poll_ready(&mut second).is_pending());
        assert_eq!(handle.counts().reservations_awaited, 2);
        let mut newcomer = holder.clone();
        drop(holder);
        assert!(poll_ready(&mut newcomer).is_pending());
        assert!(poll_ready(&mut second).is_pending());
        assert!(poll_ready(&mut first).is_ready());
        drop(first);
        assert!(poll_ready(&mut second).is_ready());
    }

    #[test]
    fn that_were_granted_to_a_dropped_instance_go_to_the_next() {
        let (mut holder, handle) = numbers();
        let (mut first, mut second) = (holder.clone(), holder.clone());
        handle.limit_reservations(1);
        assert!(poll_ready(&mut holder).is_ready());
        assert!(poll_ready(&mut first).is_pending());
        assert!(poll_ready(&mut second).is_pending());
        drop(holder);
        drop(first);
        assert!(poll_ready(&mut second).is_ready());
    }
}

mod violations {
    use super::*;

    #[test]
    #[should_panic(expected = "tower contract broken: rule `only-ready-instances-are-called`: an \
                               instance of the inner service was called that was not itself polled \
                               ready (clone #1, cloned from #0, call 0)")]
    fn a_clone_is_not_ready_because_its_original_is() {
        let (mut mock, _handle) = numbers();
        assert!(poll_ready(&mut mock).is_ready());
        drop(mock.clone().call(1));
    }

    #[test]
    #[should_panic(expected = "rule `one-call-per-readiness`")]
    fn one_readiness_allows_one_call() {
        let (mut mock, _handle) = numbers();
        assert!(poll_ready(&mut mock).is_ready());
        drop(mock.call(1));
        drop(mock.call(2));
    }

    #[tokio::test]
    #[should_panic(expected = "rule `only-ready-instances-are-called`")]
    async fn in_a_task_that_swallows_the_panic_surface_with_the_last_handle() {
        let (mut mock, handle) = numbers();
        let task = tokio::spawn(async move { mock.call(1).await });
        assert!(task.await.is_err());
        drop(handle);
    }

    #[test]
    fn that_were_read_do_not_panic_again() {
        let (mut mock, handle) = numbers();
        let called = catch_unwind(AssertUnwindSafe(|| drop(mock.call(1))));
        assert!(called.is_err());
        let [violation] = &handle.violations()[..] else { panic!("one violation") };
        assert_eq!(violation.rule, Rule::OnlyReadyInstancesAreCalled);
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_counted() {
    let (mut mock, handle) = Mock::<u64, u64>::new(|request, call| match call {
        0 => Reply::ok(request).after(SECOND),
        1 => Reply::err("busy"),
        _ => Reply::Hang,
    });
    let response = mock.ready().await.expect("ready").call(1);
    let failed = mock.ready().await.expect("ready").call(1);
    let cancelled = mock.ready().await.expect("ready").call(1);
    response.await.expect("a response");
    failed.await.expect_err("scripted");
    drop(cancelled);
    let mut clone = mock.clone();
    clone.ready().await.expect("ready");

    let counts = handle.counts();
    let seen = (counts.clones, counts.instances_live, counts.readiness_polls, counts.calls);
    assert_eq!(seen, (1, 2, 4, 3));
    assert_eq!((counts.responses, counts.dropped_early), (2, 1));
    assert_eq!((counts.in_flight, counts.in_flight_max, counts.futures_live), (0, 3, 0));
    assert_eq!((counts.reservations_held, counts.wakes), (1, 1));
    drop((mock, clone));
    assert_eq!(handle.counts().instances_live, 0);
    assert_eq!(Counts::default().calls, 0);
}
