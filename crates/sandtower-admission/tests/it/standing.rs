//! The order in which calls are admitted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_admission::{
    Adaptive, Admission, AdmissionControl, AdmissionLayer, Config, Limit, Stepwise,
};
use sandtower_core::{Operation, Reason, Rejection, RequestInfo, Tick, find};
use sandtower_testkit::{Answer, Mock};
use tokio::task::yield_now;
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceExt};

use crate::support::Literal;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const READ: Operation = Operation::new(2, "file_read");
const SECOND: Duration = Duration::from_secs(1);

type Waiting = Admission<Mock<RequestInfo, u64>, (), Literal>;

/// Every call takes a second.
fn admission(
    config: Config,
) -> (Waiting, AdmissionControl, sandtower_testkit::Handle<RequestInfo, u64>) {
    let (mock, handle) = Mock::new(|_, call| Answer::ok(call).after(SECOND));
    let layer = AdmissionLayer::new(config).unwrap().classify(Literal);
    let control = layer.control().clone();
    (layer.layer(mock), control, handle)
}

fn one_at_a_time() -> Config {
    Config::new("test").concurrency(1)
}

fn reason(error: &sandtower_core::BoxError) -> Reason {
    find::<Rejection>(&**error).expect("not a rejection").reason()
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_in_flight_than_the_limit() {
    let (service, control, handle) = admission(Config::new("test").concurrency(3));
    let start = Tick::now();
    let calls: Vec<_> =
        (0..10).map(|_| tokio::spawn(service.clone().oneshot(RequestInfo::default()))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(handle.counts().in_flight_max, 3);
    assert_eq!(Tick::now().since(start), 4 * SECOND);
    let queue = control.snapshot().queues[0];
    assert_eq!((queue.admitted, queue.admitted_after_wait), (10, 7));
}

#[tokio::test(start_paused = true)]
async fn calls_are_admitted_in_order_of_arrival_while_the_queue_is_short() {
    let (service, _room, handle) = admission(one_at_a_time());
    handle.set_answers(|_, call| Answer::ok(call).after(SECOND / 20));
    let order = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let (mut service, order) = (service.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                service.call(RequestInfo::default()).await.unwrap();
                order.lock().unwrap().push(n);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_new_call_never_overtakes_a_queued_one_even_when_a_slot_is_free() {
    let (mut service, control, _handle) = admission(one_at_a_time());
    let mut first = spawn(service.call(RequestInfo::default()));
    let mut waits = spawn(service.call(RequestInfo::default()));
    assert!(first.poll().is_pending());
    assert!(waits.poll().is_pending());
    drop(first);
    assert!(waits.is_woken());

    // The slot is free, and its owner was not polled yet.
    let mut newcomer = spawn(service.call(RequestInfo::default()));
    assert!(newcomer.poll().is_pending());
    assert_eq!(control.snapshot().queues[0].waiting, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_returns_keeps_its_position() {
    let (mut service, ..) = admission(one_at_a_time());
    let arrived = Tick::now();
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    tokio::time::advance(SECOND / 2).await;
    let mut later = spawn(service.call(RequestInfo::default()));
    assert!(later.poll().is_pending());
    let mut back = spawn(service.call(RequestInfo::default().arrived(Some(arrived))));
    assert!(back.poll().is_pending());

    drop(inside);

    assert!(back.is_woken());
    assert!(!later.is_woken());
}

#[tokio::test(start_paused = true)]
async fn an_operation_at_its_limit_does_not_block_another() {
    let (service, _room, _handle) = admission(one_at_a_time());
    let create = tokio::spawn(service.clone().oneshot(RequestInfo::new(CREATE)));
    yield_now().await;
    let start = Tick::now();
    service.clone().oneshot(RequestInfo::new(READ)).await.unwrap();
    assert_eq!(Tick::now().since(start), SECOND);
    create.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_queued_call_holds_nothing_of_the_inner_service() {
    let (mut service, _room, handle) = admission(one_at_a_time());
    let mut first = spawn(service.call(RequestInfo::default()));
    assert!(first.poll().is_pending());
    let mut waits: Vec<_> = (0..5).map(|_| spawn(service.call(RequestInfo::default()))).collect();
    for call in &mut waits {
        assert!(call.poll().is_pending());
    }
    let counts = handle.counts();
    assert_eq!((counts.reservations_held, counts.in_flight), (0, 1), "{counts:?}");
    assert_eq!(counts.readiness_polls, 1, "a queued call made an instance ready");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_rejects_immediately() {
    let (mut service, control, _handle) = admission(one_at_a_time().queue(1));
    let mut inside = spawn(service.call(RequestInfo::default()));
    let mut waits = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    assert!(waits.poll().is_pending());

    let error = service.call(RequestInfo::default()).await.unwrap_err();

    assert_eq!(error.to_string(), "admission `test` is full: a call is waiting");
    assert_eq!(control.snapshot().queues[0].rejected_full, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_comes_while_it_waits_is_rejected_then() {
    let (mut service, control, _handle) = admission(one_at_a_time());
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    let start = Tick::now();

    let info = RequestInfo::default().deadline(Some(start + SECOND / 2));
    let error = service.call(info).await.unwrap_err();

    assert_eq!(reason(&error), Reason::TooLate { waited: SECOND / 2 });
    assert_eq!(Tick::now().since(start), SECOND / 2);
    assert_eq!(control.snapshot().queues[0].rejected_late, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_polled_does_not_block_the_queue() {
    let (mut service, ..) = admission(one_at_a_time());
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    let _forgotten = service.call(RequestInfo::default());
    let mut waits = spawn(service.call(RequestInfo::default()));
    assert!(waits.poll().is_pending());

    drop(inside);
    assert!(waits.is_woken());
    assert!(waits.poll().is_pending(), "the call takes a second");
    waits.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn raising_a_limit_admits_queued_calls() {
    let (mut service, control, _handle) = admission(one_at_a_time());
    let mut calls: Vec<_> = (0..3).map(|_| spawn(service.call(RequestInfo::default()))).collect();
    for call in &mut calls {
        assert!(call.poll().is_pending());
    }
    control.set_concurrency(Operation::CALL, 3).unwrap();
    assert!(calls[1].is_woken());
    assert!(calls[1].poll().is_pending());
    assert!(calls[2].is_woken(), "one free slot was passed on, the other was not");
    assert!(calls[2].poll().is_pending());
    assert_eq!(control.snapshot().queues[0].in_flight, 3);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_the_latency_that_a_learned_limit_compares_with() {
    let limits = [Limit::Fixed(1), Adaptive::recommended().into(), Stepwise::recommended().into()];
    for (limit, expected) in limits.into_iter().zip([None, Some(1_000), Some(1_000)]) {
        let (mock, _handle) = Mock::<RequestInfo, u64>::new(|_, _| Answer::ok(1).after(SECOND));
        let layer = AdmissionLayer::new(Config::new("test").concurrency(limit)).unwrap();
        let mut service = layer.clone().layer(mock);
        for _ in 0..4 {
            service.call(RequestInfo::default()).await.unwrap();
        }
        assert_eq!(layer.control().snapshot().queues[0].baseline_ms, expected, "{limit:?}");
    }
}
