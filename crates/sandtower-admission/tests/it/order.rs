//! Standing queues, deadlines that cannot be met, progress, and shutdown.

use std::time::Duration;

use sandtower_admission::{
    Admission, AdmissionControl, AdmissionLayer, CallState, Config, Progress, Watch,
};
use sandtower_core::{BoxError, Operation, Reason, Rejection, RequestInfo, Tick, find};
use sandtower_testkit::{Answer, Handle, Mock};
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::support::Literal;

const SECOND: Duration = Duration::from_secs(1);

type OneAtATime = Admission<Mock<RequestInfo, u64>, (), Literal>;

/// Every call takes a second, one at a time.
fn admission() -> (OneAtATime, AdmissionControl, Handle<RequestInfo, u64>) {
    let (mock, handle) = Mock::new(|_, call| Answer::ok(call).after(SECOND));
    let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap().classify(Literal);
    let control = layer.control().clone();
    (layer.layer(mock), control, handle)
}

fn reason(error: &BoxError) -> Reason {
    find::<Rejection>(&**error).unwrap().reason()
}

#[tokio::test(start_paused = true)]
async fn in_a_standing_queue_the_newest_goes_first() {
    let (mut service, control, _handle) = admission();
    let mut inside = spawn(service.call(RequestInfo::default()));
    let mut old = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    assert!(old.poll().is_pending());
    tokio::time::advance(SECOND / 2).await;
    let mut middle = spawn(service.call(RequestInfo::default()));
    assert!(middle.poll().is_pending());
    assert!(!control.snapshot().queues[0].newest_first, "half a second is short");
    tokio::time::advance(SECOND).await;
    let mut newest = spawn(service.call(RequestInfo::default()));
    assert!(newest.poll().is_pending());
    assert!(control.snapshot().queues[0].newest_first);

    drop(inside);

    assert!(newest.is_woken());
    assert!(middle.poll().is_pending() && old.poll().is_pending());
    assert_eq!(control.snapshot().queues[0].in_flight, 0, "a call was admitted out of order");
    assert!(newest.poll().is_pending());
    assert_eq!(control.snapshot().queues[0].in_flight, 1);
    drop(newest);
    assert!(middle.is_woken(), "the next call was not woken");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_changes_while_a_slot_is_free_strands_no_call() {
    let (mut service, control, _handle) = admission();
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    let mut waits: Vec<_> = (0..3).map(|_| spawn(service.call(RequestInfo::default()))).collect();
    waits.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    drop(inside);
    assert!(waits[0].is_woken());
    // The first was woken and is not polled. Then the queue becomes a standing queue, and a call leaves.
    tokio::time::advance(2 * SECOND).await;
    let middle = waits.remove(1);
    drop(middle);
    assert!(waits[1].is_woken(), "the newest call was not woken although it is next");
    assert!(waits[1].poll().is_pending());
    assert_eq!(control.snapshot().queues[0].in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_met_is_rejected_immediately_with_the_expected_wait() {
    let (mut service, control, _handle) = admission();
    // Four calls establish that a call takes a second, while a fifth keeps the queue from emptying.
    let calls: Vec<_> =
        (0..5).map(|_| tokio::spawn(service.call(RequestInfo::default()))).collect();
    tokio::time::sleep(3 * SECOND + SECOND / 2).await;
    let start = Tick::now();

    let soon = RequestInfo::default().deadline(Some(start + SECOND / 2));
    let error = service.call(soon).await.unwrap_err();

    assert_eq!(Tick::now(), start, "it waited to be rejected");
    assert_eq!(reason(&error), Reason::NoTime { wait: SECOND });
    assert_eq!(
        error.to_string(),
        "admission `test` cannot serve the call in time: it would wait 1 s; retry in 1 s"
    );
    assert_eq!(control.snapshot().queues[0].rejected_late, 1);
    let patient = RequestInfo::default().deadline(Some(start + 10 * SECOND));
    service.call(patient).await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

/// A request with its progress.
#[derive(Clone)]
struct Watched(Progress);

#[derive(Clone)]
struct Brought;

impl Watch<Watched> for Brought {
    fn progress(&self, request: &Watched) -> Option<Progress> {
        Some(request.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_can_watch_its_own_position() {
    let (mock, _handle) = Mock::<Watched, u64>::new(|_, call| Answer::ok(call).after(SECOND));
    let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap().watch(Brought);
    let mut service = layer.layer(mock);
    let mut enter = || {
        let progress = Progress::new();
        (tokio::spawn(service.call(Watched(progress.clone()))), progress)
    };
    let (first, inside) = enter();
    let (_second, _) = enter();
    let (third, waits) = enter();
    tokio::task::yield_now().await;

    assert!(matches!(inside.snapshot(), CallState::Admitted(_)));
    let CallState::Queued(standing) = waits.snapshot() else { panic!("{waits:?}") };
    assert_eq!((standing.ahead, standing.waiting), (1, 2));
    assert_eq!(
        standing.to_string(),
        "1 ahead of you; admission `test` is full: all 1 slots are in use",
    );
    first.await.unwrap().unwrap();
    assert!(matches!(inside.snapshot(), CallState::Idle), "{inside:?}");
    third.abort();
    assert!(third.await.is_err());
    assert!(matches!(waits.snapshot(), CallState::Idle), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_calls_in_flight_finish_and_rejects_new_ones() {
    let (mut service, control, handle) = admission();
    let inside = tokio::spawn(service.call(RequestInfo::default()));
    let waits = tokio::spawn(service.call(RequestInfo::default()));
    tokio::task::yield_now().await;
    let start = Tick::now();

    control.drain().await;

    assert_eq!(Tick::now().since(start), SECOND);
    inside.await.unwrap().unwrap();
    assert_eq!(reason(&waits.await.unwrap().unwrap_err()), Reason::Draining);
    let error = service.call(RequestInfo::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "admission `test` is shutting down");
    assert_eq!(handle.counts().calls, 1);
    assert_eq!(control.snapshot().queues[0].rejected_draining, 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_still_admits_cleanup_and_waits_for_the_other_calls_only() {
    const KILL: Operation = Operation::new(5, "sandbox_kill");
    let (mock, _handle) = Mock::<RequestInfo, u64>::new(|info, _| {
        Answer::ok(1).after(if info.operation == KILL { 10 * SECOND } else { SECOND })
    });
    let config = Config::new("test").admit_during_shutdown(KILL);
    let layer = AdmissionLayer::new(config).unwrap().classify(Literal);
    let (mut service, control) = (layer.layer(mock), layer.control().clone());
    let inside = tokio::spawn(service.call(RequestInfo::default()));
    let kill = tokio::spawn(service.call(RequestInfo::new(KILL)));
    tokio::task::yield_now().await;
    let start = Tick::now();

    control.begin_shutdown().await;

    assert_eq!(Tick::now().since(start), SECOND);
    inside.await.unwrap().unwrap();
    let error = service.call(RequestInfo::default()).await.unwrap_err();
    assert_eq!(reason(&error), Reason::Draining);
    assert!(control.snapshot().draining);
    service.call(RequestInfo::new(KILL)).await.unwrap();
    kill.await.unwrap().unwrap();

    control.drain().await;

    let error = service.call(RequestInfo::new(KILL)).await.unwrap_err();
    assert_eq!(reason(&error), Reason::Draining);
}
