//! Deadlines and time-outs, on a paused clock.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::{
    BoxError, Clock, Effect, RequestInfo, SetDeadline, Tick, Verdict, classify_fn, find,
    verdict_of_error,
};
use sandtower_testkit::{Answer, Contract, Mock, cancel_at_every_poll};
use sandtower_time::TokioClock;
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
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::Hang);
    let start = TokioClock.now();

    let error = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock).oneshot(1).await.unwrap_err();

    assert_eq!(TokioClock.now().since(start), LIMIT);
    assert_eq!(verdict_of_error(&*error), Some(Verdict::transient(Effect::Maybe)));
    assert_eq!(find::<Elapsed>(&*error).unwrap().bound(), Bound::Attempt);
    assert_eq!(handle.counts().in_flight, 0, "the attempt goes on");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Answer::ok(7).after(LIMIT / 2));
    let service = TimeoutLayer::new(Limits::all(LIMIT)).layer(mock);
    assert_eq!(service.oneshot(1).await.unwrap(), 7);
}

/// A request that carries its call's arrival and deadline.
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

async fn told_below(request: Call) -> Call {
    let classify = classify_fn(
        |call: &Call| RequestInfo::default().arrived(call.arrived).deadline(call.deadline),
        |_: Result<&Call, &BoxError>| Verdict::success(),
    );
    let layer = DeadlineLayer::new(Limits::all(LIMIT)).classify(classify).set_deadline(OnCall);
    let (mock, _handle) = Mock::new(|call: Call, _| Answer::ok(call));
    layer.layer(mock).oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_layers_below_are_told_when_the_call_arrived_and_must_end() {
    let now = TokioClock.now();
    let told = told_below(Call::default()).await;
    assert_eq!(told.arrived, Some(now));
    assert_eq!(told.deadline, Some(now + LIMIT));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_deadlines_counts() {
    let now = TokioClock.now();
    let brought = |deadline| Call { arrived: None, deadline: Some(deadline) };
    let early = now + LIMIT / 2;
    assert_eq!(told_below(brought(early)).await.deadline, Some(early));
    assert_eq!(told_below(brought(now + LIMIT * 2)).await.deadline, Some(now + LIMIT));
}

#[test]
fn dropped_at_any_point_the_attempt_below_is_dropped_too() {
    cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::ok(7).after(LIMIT / 2));
            (TimeoutLayer::new(Limits::all(LIMIT)).layer(mock).oneshot(1), handle)
        },
        async |cancelled, handle| assert_eq!(handle.counts().in_flight, 0, "{cancelled}"),
    );
}

/// Answers what it was asked, and the instant at which it began.
#[derive(Clone)]
struct Beginning;

impl Service<Call> for Beginning {
    type Response = (Call, Tick);
    type Error = BoxError;
    type Future = Ready<Result<(Call, Tick), BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Call) -> Self::Future {
        ready(Ok((request, TokioClock.begin())))
    }
}

/// In real time, where no two readings agree.
#[tokio::test]
async fn on_the_way_down_all_layers_stand_at_one_instant() {
    let attempt = TimeoutLayer::new(Limits::all(LIMIT)).layer(Beginning);
    let service = DeadlineLayer::new(Limits::all(LIMIT)).set_deadline(OnCall).layer(attempt);
    let (told, began) = service.oneshot(Call::default()).await.unwrap();
    assert_eq!(told.arrived, Some(began));
    assert!(TokioClock.now() > began);
}
