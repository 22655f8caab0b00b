//! The layer that waits for its limit, on a paused clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::{
    BoxError, Clock, Operation, Reason, Rejection, RequestInfo, Verdict, classify_fn, find,
};
use sandtower_rate_limit::{Config, LineStats, Pace, PaceLayer, RateLimit};
use sandtower_testkit::{Answer, Contract, Mock, cancel_at_every_poll};
use sandtower_time::TokioClock;
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// One a second.
fn layer() -> PaceLayer {
    let config = Config::new("E2B").pace(Operation::CALL, Pace::HOBBY_CREATIONS);
    PaceLayer::new(RateLimit::new(config).unwrap())
}

fn stats(layer: &PaceLayer) -> LineStats {
    layer.handle().stats(Operation::CALL)
}

#[test]
fn it_keeps_the_tower_contract() {
    Contract::of(|inner| layer().layer(inner)).run();
    let free = || PaceLayer::new(RateLimit::classic());
    Contract::of(move |inner| free().layer(inner)).run();
}

#[tokio::test(start_paused = true)]
async fn each_caller_goes_at_its_instant_and_none_is_rejected() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    let start = TokioClock.now();
    let calls = (0..5).map(|number| {
        let call = layer.layer(mock.clone()).oneshot(number);
        tokio::spawn(async move { (call.await.unwrap(), TokioClock.now().since(start).as_secs()) })
    });
    let calls: Vec<_> = calls.collect();
    let mut went = Vec::new();
    for call in calls {
        went.push(call.await.unwrap().1);
    }
    went.sort_unstable();
    assert_eq!(went, [0, 1, 2, 3, 4]);
    assert_eq!(handle.violations(), []);
    assert_eq!((stats(&layer).admitted, stats(&layer).admitted_after_wait), (5, 4));
}

#[tokio::test(start_paused = true)]
async fn museum_18_who_waits_holds_nothing_below() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    handle.limit_reservations(1);
    let layer = layer();
    let calls: Vec<_> =
        (0..5).map(|number| tokio::spawn(layer.layer(mock.clone()).oneshot(number))).collect();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(stats(&layer).waiting, 4);
    assert_eq!(handle.counts().reservations_held, 0);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 7);
    }
}

/// Counts the polls of a future.
struct Polled<F>(Pin<Box<F>>, Arc<AtomicU64>);

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.as_mut().poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn museum_19_none_of_a_hundred_waiters_is_woken_more_than_twice() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    let mut calls = Vec::new();
    for number in 0..100 {
        let polls = Arc::new(AtomicU64::new(0));
        let call = Polled(Box::pin(layer.layer(mock.clone()).oneshot(number)), Arc::clone(&polls));
        calls.push((tokio::spawn(call), polls));
        tokio::time::sleep(SECOND / 10).await;
    }
    for (call, polls) in calls {
        assert!(call.await.unwrap().is_ok());
        // The first poll is its caller's own.
        assert!(polls.load(Ordering::Relaxed) <= 3, "{polls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn museum_19_nobody_barges_while_the_line_is_short() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    let order = Arc::new(Mutex::new(Vec::new()));
    let call = |number| {
        let (call, order) = (layer.layer(mock.clone()).oneshot(number), Arc::clone(&order));
        tokio::spawn(async move {
            assert!(call.await.is_ok());
            order.lock().unwrap().push(number);
        })
    };
    let first = call(0);
    tokio::time::sleep(SECOND / 4).await;
    let second = call(1);
    // The pace has room again just now, and the newcomer is first to see it.
    tokio::time::sleep(SECOND * 3 / 4).await;
    let third = call(2);
    for call in [first, second, third] {
        call.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_go_first_once_the_line_has_stood_for_a_second() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = Vec::new();
    for number in 0..5 {
        let (call, order) = (layer.layer(mock.clone()).oneshot(number), Arc::clone(&order));
        calls.push(tokio::spawn(async move {
            assert!(call.await.is_ok());
            order.lock().unwrap().push(number);
        }));
        tokio::time::sleep(SECOND / 10).await;
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 4, 3, 2]);
}

fn with_deadlines(layer: PaceLayer, within: Duration) -> impl Fn(Mock<u64, u64>) -> Boxed {
    let layer = layer.classify(classify_fn(
        move |_: &u64| RequestInfo::default().deadline(Some(TokioClock.now() + within)),
        |_: Result<&u64, &BoxError>| Verdict::success(),
    ));
    move |mock| Boxed::new(layer.layer(mock))
}

type Boxed = tower::util::BoxCloneService<u64, u64, BoxError>;

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_met_is_rejected_at_once_and_no_other_is_outstayed() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    let service = with_deadlines(layer.clone(), SECOND / 2)(mock);
    assert!(service.clone().oneshot(1).await.is_ok());
    let start = TokioClock.now();
    let error = service.oneshot(2).await.unwrap_err();
    assert!(matches!(find::<Rejection>(&*error).unwrap().reason(), Reason::TooLate { .. }));
    assert_eq!(TokioClock.now(), start);
    assert_eq!(handle.counts().calls, 1);
    assert_eq!(stats(&layer).rejected_late, 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_next_leaves_at_its_deadline() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let layer = layer().longest_wait(SECOND * 3 / 2);
    let calls: Vec<_> =
        (0..4).map(|number| tokio::spawn(layer.layer(mock.clone()).oneshot(number))).collect();
    let mut served = 0;
    for call in calls {
        served += u32::from(call.await.unwrap().is_ok());
    }
    assert_eq!((served, handle.counts().calls, stats(&layer).rejected_late), (2, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_full_line_rejects_newcomers_and_later_the_oldest() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = layer().queue(2);
    let call = |number| tokio::spawn(layer.layer(mock.clone()).oneshot(number));
    let (first, oldest, newest) = (call(0), call(1), call(2));
    tokio::time::sleep(SECOND / 10).await;
    let error = call(3).await.unwrap().unwrap_err();
    assert_eq!(find::<Rejection>(&*error).unwrap().reason(), Reason::QueueFull { waiting: 2 });
    // The line stands: the newest goes first, and the oldest makes room for those who come.
    tokio::time::sleep(SECOND).await;
    assert!(first.await.unwrap().is_ok() && newest.await.unwrap().is_ok());
    let (a, b) = (call(4), call(5));
    let error = oldest.await.unwrap().unwrap_err();
    assert!(find::<Rejection>(&*error).is_some());
    assert!(a.await.unwrap().is_ok() && b.await.unwrap().is_ok());
    assert_eq!(stats(&layer).rejected_full, 2);
}

#[test]
fn museum_21_and_27_a_caller_who_goes_at_any_poll_leaves_nothing_and_wakes_who_is_next() {
    let polls = cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::ok(7).after(SECOND));
            let layer = layer();
            let ours = layer.layer(mock.clone());
            let others = layer.layer(mock);
            let call = async move {
                // The first takes what there is: the one that is cancelled has to wait.
                drop(ours.clone().oneshot(1).await);
                drop(ours.oneshot(2).await);
            };
            (call, (layer, others, handle))
        },
        async |cancelled, (layer, others, handle)| {
            let next = tokio::time::timeout(SECOND * 4, others.oneshot(3)).await;
            assert!(next.unwrap().is_ok(), "{cancelled}");
            assert_eq!(stats(&layer).waiting, 0, "{cancelled}");
            assert_eq!(handle.counts().in_flight, 0, "{cancelled}");
            let counted = layer.handle().limit().status(Operation::CALL).count;
            assert_eq!(counted, handle.counts().calls, "{cancelled}");
        },
    );
    assert!(polls >= 3);
}

#[tokio::test(start_paused = true)]
async fn museum_27_when_the_one_with_the_timer_goes_the_next_is_still_woken() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = layer();
    assert!(layer.layer(mock.clone()).oneshot(0).await.is_ok());
    let first = tokio::spawn(layer.layer(mock.clone()).oneshot(1));
    tokio::task::yield_now().await;
    let second = tokio::spawn(layer.layer(mock).oneshot(2));
    tokio::task::yield_now().await;
    first.abort();
    let served = tokio::time::timeout(SECOND * 2, second).await.unwrap();
    assert!(served.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn museum_20_no_call_is_shed_because_a_task_has_used_up_its_budget() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let config = Config::new("E2B").pace(Operation::CALL, Pace::every(SECOND).burst(1_000));
    let mut service = PaceLayer::new(RateLimit::new(config).unwrap()).queue(0).layer(mock);
    for number in 0..1_000 {
        assert!(service.ready().await.unwrap().call(number).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_an_operator_resets_the_limit() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let config = Config::new("E2B").limit_each(1);
    let layer = PaceLayer::new(RateLimit::new(config).unwrap()).longest_wait(SECOND * 7_200);
    assert!(layer.layer(mock.clone()).oneshot(0).await.is_ok());
    let waits = tokio::spawn(layer.layer(mock).oneshot(1));
    tokio::time::sleep(SECOND).await;
    layer.handle().limit().reset(Operation::CALL);
    let served = tokio::time::timeout(SECOND, waits).await.unwrap();
    assert!(served.unwrap().is_ok());
}
