//! Admission control with gates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandtower_admission::{Admission, AdmissionControl, AdmissionLayer, Config};
use sandtower_core::{Operation, Reason, Rejection, RequestInfo, Rng, Tick, find};
use sandtower_testkit::{Answer, Handle, Mock, Readiness};
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::support::{Literal, Pace, counted};

const SECOND: Duration = Duration::from_secs(1);
/// Five a second.
const INTERVAL: Duration = Duration::from_millis(200);

type Paced = Admission<Mock<RequestInfo, u64>, Arc<Pace>, Literal>;

fn paced(config: Config) -> (Paced, AdmissionControl<Arc<Pace>>, Handle<RequestInfo, u64>) {
    let (mock, handle) = Mock::new(|_, call| Answer::ok(call));
    let layer = AdmissionLayer::with_gates(config, Pace::new(INTERVAL)).unwrap().classify(Literal);
    let control = layer.control().clone();
    (layer.layer(mock), control, handle)
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_at_five_a_second_take_forty_seconds_and_three_wakes_each() {
    let (mut service, control, _handle) = paced(Config::new("test"));
    let start = Tick::now();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (call, polls) = counted(service.call(RequestInfo::default()));
            (tokio::spawn(call), polls)
        })
        .collect();
    let mut wakes = Vec::new();
    for (call, polls) in calls {
        call.await.unwrap().unwrap();
        // The first poll is not caused by a wake.
        wakes.push(polls.load(Ordering::Relaxed) - 1);
    }
    // Two for its turn, and one a second after it came, as it was the last then. The last of all
    // looks once a second whether the others come when it is their turn.
    wakes.sort_unstable();
    assert!(wakes[..199].iter().all(|&wakes| wakes <= 3), "{wakes:?}");
    assert!(wakes[199] <= 3 + 41, "{wakes:?}");
    assert_eq!(Tick::now().since(start), 199 * INTERVAL);
    assert_eq!(control.gates().counts(), (200, 0, 200));
}

#[tokio::test(start_paused = true)]
async fn dropping_half_of_the_calls_at_random_strands_no_other() {
    let seed = 0x5eed;
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut service, control, _handle) = paced(Config::new("test"));
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let patience = rng.bool().then(|| SECOND.mul_f64(rng.f64() * 40.0));
            let call = service.call(RequestInfo::default());
            tokio::spawn(async move {
                match patience {
                    Some(patience) => tokio::time::timeout(patience, call).await.is_ok(),
                    None => call.await.is_ok(),
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let queue = control.snapshot().queues[0];
    assert_eq!((queue.in_flight, queue.waiting), (0, 0));
    assert_eq!(queue.admitted + queue.left, 200);
    let (taken, given_back, settled) = control.gates().counts();
    assert_eq!(taken, given_back + settled, "a permit was lost");
}

#[tokio::test(start_paused = true)]
async fn queued_calls_are_rejected_one_after_the_other_when_the_gate_closes() {
    let (mut service, control, handle) = paced(Config::new("test"));
    let calls: Vec<_> =
        (0..10).map(|_| tokio::spawn(service.call(RequestInfo::default()))).collect();
    tokio::task::yield_now().await;
    let start = Tick::now();
    control.gates().shut();
    let mut rejected = 0;
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert_eq!(find::<Rejection>(&*error).unwrap().reason(), Reason::ForcedOpen);
            rejected += 1;
        }
    }
    assert_eq!((rejected, handle.counts().calls), (9, 1));
    assert_eq!(Tick::now(), start, "a call waited for the clock");
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_slot_are_rejected_too_when_the_gate_closes() {
    let (mut service, control, handle) = paced(Config::new("test").concurrency(1));
    handle.set_answers(|_, _| Answer::Hang);
    let mut inside = spawn(service.call(RequestInfo::default()));
    let mut waits = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    assert!(waits.poll().is_pending());

    control.gates().shut();

    assert!(waits.is_woken());
    assert!(waits.await.is_err());
    assert!(!inside.is_woken(), "an attempt in flight was woken");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_opens_after_the_deadline_rejects_immediately_with_its_own_reason() {
    let (mut service, control, _handle) = paced(Config::new("test"));
    service.call(RequestInfo::default()).await.unwrap();
    let start = Tick::now();
    let info = RequestInfo::default().deadline(Some(start + INTERVAL / 2));

    let error = service.call(info).await.unwrap_err();

    assert_eq!(find::<Rejection>(&*error).unwrap().layer(), "pace");
    assert_eq!(Tick::now(), start);
    assert_eq!(control.snapshot().queues[0].rejected_by_gate, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_a_call_that_a_gate_holds_is_rejected() {
    let (mut service, ..) = paced(Config::new("test").queue(0));
    service.call(RequestInfo::default()).await.unwrap();
    assert!(service.call(RequestInfo::default()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_permit_of_a_call_dropped_before_it_is_sent_goes_to_another_operation() {
    let (mut service, control, handle) = paced(Config::new("test"));
    handle.set_readiness(|_| Readiness::Pending);
    let mut admitted = spawn(service.call(RequestInfo::default()));
    assert!(admitted.poll().is_pending());
    let other = Operation::new(1, "other");
    let mut waits = spawn(service.call(RequestInfo::new(other)));
    assert!(waits.poll().is_pending());
    assert_eq!(control.gates().counts(), (1, 0, 0));

    drop(admitted);

    assert!(waits.is_woken());
    assert!(waits.poll().is_pending(), "the inner service is not ready yet");
    assert_eq!(control.gates().counts(), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_fails_readiness_releases_slot_and_permit() {
    let (mut service, control, handle) = paced(Config::new("test"));
    handle.set_readiness(|_| Readiness::Err("gone".into()));

    service.call(RequestInfo::default()).await.unwrap_err();

    assert_eq!(control.gates().counts(), (1, 1, 0));
    assert_eq!(control.snapshot().queues[0].in_flight, 0);
}
