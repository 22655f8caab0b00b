//! Deadlines and timeouts, on a paused clock.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{
    BoxError, ByResult, Effect, RequestInfo, SetDeadline, Tick, Verdict, classify_fn, find,
    verdict_of_error,
};
use sandtower_testkit::{Contract, Mock, Reply, cancel_at_every_poll, extreme_durations};
use sandtower_timeout::{Bound, DeadlineLayer, Elapsed, Limits, TimeoutLayer};
use tower::{Layer, Service, ServiceExt};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn keep_the_tower_contract() {
    Contract::of(|inner| TimeoutLayer::new(Limits::all(LIMIT)).layer(inner)).run();
    Contract::of(|inner| DeadlineLayer::new(Limits::all(LIMIT)).layer(inner)).run();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_ends_and_may_have_had_an_effect() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
    let start = Tick::now();

    let error = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock).oneshot(1).await.unwrap_err();

    assert_eq!(Tick::now().since(start), LIMIT);
    assert_eq!(verdict_of_error(&*error), Some(Verdict::transient(Effect::Maybe)));
    assert_eq!(find::<Elapsed>(&*error).unwrap().bound(), Bound::Attempt);
    assert_eq!(handle.counts().in_flight, 0, "the attempt is still running");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_an_open_ended_call_is_no_evidence_about_the_service() {
    for open_ended in [false, true] {
        let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
        let classify = ByResult::new(RequestInfo::default().open_ended(open_ended));
        let layer = TimeoutLayer::new(Limits::all(LIMIT)).classify(classify);
        let error = layer.layer(mock).oneshot(1).await.unwrap_err();
        let verdict = verdict_of_error(&*error).unwrap();
        assert_eq!((verdict.is_failure(), verdict.effect), (!open_ended, Effect::Maybe));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_in_time_passes() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Reply::ok(7).after(LIMIT / 2));
    let service = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock);
    assert_eq!(service.oneshot(1).await.unwrap(), 7);
}

/// A request with its arrival and deadline.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    arrived: Option<Tick>,
    deadline: Option<Tick>,
}

#[derive(Clone, Copy)]
struct OnCall;

impl SetDeadline<Call> for OnCall {
    fn set_deadline(&self, request: &mut Call, arrived: Tick, deadline: Tick) {
        *request = Call { arrived: Some(arrived), deadline: Some(deadline) };
    }
}

async fn seen_below(request: Call) -> Call {
    let classify = classify_fn(
        |call: &Call| RequestInfo::default().arrived(call.arrived).deadline(call.deadline),
        |_: Result<&Call, &BoxError>| Verdict::success(),
    );
    let layer = DeadlineLayer::new(Limits::all(LIMIT)).classify(classify).set_deadline(OnCall);
    let (mock, _handle) = Mock::new(|call: Call, _| Reply::ok(call));
    layer.layer(mock).oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_layers_below_get_the_arrival_and_the_deadline() {
    let now = Tick::now();
    let seen = seen_below(Call::default()).await;
    assert_eq!(seen.arrived, Some(now));
    assert_eq!(seen.deadline, Some(now + LIMIT));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_deadlines_counts() {
    let now = Tick::now();
    let brought = |deadline| Call { arrived: None, deadline: Some(deadline) };
    let early = now + LIMIT / 2;
    assert_eq!(seen_below(brought(early)).await.deadline, Some(early));
    assert_eq!(seen_below(brought(now + LIMIT * 2)).await.deadline, Some(now + LIMIT));
}

#[test]
fn dropped_at_any_point_the_attempt_below_is_dropped_too() {
    cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::ok(7).after(LIMIT / 2));
            (TimeoutLayer::new(Limits::all(LIMIT)).layer(mock).oneshot(1), handle)
        },
        async |cancelled, handle| assert_eq!(handle.counts().in_flight, 0, "{cancelled}"),
    );
}

/// Exhausts tokio's cooperative budget on each poll, and never completes.
#[derive(Clone)]
struct Busy;

impl Future for Busy {
    type Output = Result<u64, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    }
}

impl Service<u64> for Busy {
    type Response = u64;
    type Error = BoxError;
    type Future = Self;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: u64) -> Self {
        Self
    }
}

/// The clock is advanced by hand: it does not advance while something is busy.
async fn ends_in_time<S: Service<u64, Error = BoxError>>(service: S, bound: Bound)
where
    S::Future: Send + 'static,
    S::Response: Send + std::fmt::Debug + 'static,
{
    let mut service = service;
    let call = tokio::spawn(service.call(1));
    for _ in 0..100 {
        tokio::time::advance(LIMIT / 50).await;
        tokio::task::yield_now().await;
    }
    assert!(call.is_finished(), "{bound:?}: the busy future is still polled after twice the limit");
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(find::<Elapsed>(&*error).unwrap().bound(), bound);
}

#[tokio::test(start_paused = true)]
async fn a_busy_future_cannot_defeat_a_timeout() {
    ends_in_time(TimeoutLayer::new(Limits::all(LIMIT)).layer(Busy), Bound::Attempt).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_future_cannot_defeat_a_deadline() {
    ends_in_time(DeadlineLayer::new(Limits::all(LIMIT)).layer(Busy), Bound::Call).await;
    let attempt = TimeoutLayer::new(Limits::all(LIMIT * 100)).layer(Busy);
    ends_in_time(DeadlineLayer::new(Limits::all(LIMIT)).layer(attempt), Bound::Call).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_dropped_at_once_and_polling_on_panics() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
    let mut service = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock);
    service.ready().await.unwrap();
    let mut call = Box::pin(service.call(1));
    call.as_mut().await.unwrap_err();
    assert_eq!(
        handle.counts().in_flight,
        0,
        "the attempt is still running while its future is kept"
    );
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }));
    assert!(again.is_err());
}

#[test]
fn an_error_names_the_limit_and_its_duration() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
    let service = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock);
    let error = runtime.block_on(service.oneshot(1)).unwrap_err();
    assert_eq!(error.to_string(), "the attempt timed out after 60s (operation `call`)");
}

proptest! {
    #[test]
    fn no_limit_panics(limit in extreme_durations(), own in extreme_durations(), deadline in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let limits = || {
            Limits::all(limit).operation(sandtower_core::Operation::new(7, "other"), Some(own))
        };
        let classify = classify_fn(
            move |request: &u64| {
                let operation = sandtower_core::Operation::new(*request as u8, "any");
                RequestInfo::new(operation).deadline(Some(Tick::from_nanos(deadline)))
            },
            |_: Result<&u64, &BoxError>| Verdict::success(),
        );
        for request in [0, 7] {
            let (mock, _handle) = Mock::<u64, u64>::always(7);
            let attempt = TimeoutLayer::new(limits()).classify(classify.clone()).layer(mock);
            let call = DeadlineLayer::new(limits()).classify(classify.clone()).layer(attempt);
            prop_assert_eq!(runtime.block_on(call.oneshot(request)).unwrap(), 7);
            let hang = Mock::<u64, u64>::new(|_, _| Reply::Hang).0;
            let mut call = TimeoutLayer::new(limits()).classify(classify.clone()).layer(hang);
            let _guard = runtime.enter();
            let cx = &mut Context::from_waker(Waker::noop());
            prop_assert!(call.poll_ready(cx).is_ready());
            let _ = pin!(call.call(request)).poll(cx);
        }
    }
}

/// Makes progress when the test says so.
#[derive(Clone, Default)]
struct Moving(std::sync::Arc<std::sync::Mutex<Option<Tick>>>);

impl sandtower_timeout::Moves<u64> for Moving {
    type Watch = Self;

    fn watch(&self, request: &mut u64, _operation: sandtower_core::Operation) -> Option<Self> {
        (*request == 1).then(|| self.clone())
    }
}

impl sandtower_timeout::LastMoved for Moving {
    fn last_moved(&self) -> Option<Tick> {
        *self.0.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_makes_progress_goes_on_and_one_that_stalls_times_out() {
    let second = std::time::Duration::from_secs(1);
    for (request, moves_for, ends_after) in [(1, 0, 3), (1, 10, 13), (2, 10, 3)] {
        let moving = Moving::default();
        let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Reply::Hang);
        let layer = TimeoutLayer::new(Limits::all(3 * second)).moves(moving.clone());
        let start = Tick::now();
        let call = tokio::spawn(layer.layer(mock).oneshot(request));
        for _ in 0..moves_for {
            tokio::time::sleep(second).await;
            *moving.0.lock().unwrap() = Some(Tick::now());
        }
        call.await.unwrap().unwrap_err();
        let took = Tick::now().since(start);
        assert_eq!(took, (ends_after.max(moves_for)) * second, "{request} {moves_for}");
    }
}
