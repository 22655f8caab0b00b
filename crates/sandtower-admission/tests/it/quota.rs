//! A quota as a gate of admission control.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sandtower_admission::{
    Admission, AdmissionControl, AdmissionLayer, CallState, Config, Progress, Quota, QuotaConfig,
    Watch,
};
use sandtower_core::{
    Completion, Deferred, Gate, Now, Operation, Reason, Rejection, RequestInfo, Seed, Tick,
    Verdict, find,
};
use sandtower_testkit::{Answer, Contract, Handle, Mock, allocations};
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::support::{Literal, counted};

const CREATE: Operation = Operation::new(1, "sandbox_create");
const KILL: Operation = Operation::new(2, "sandbox_kill");
const READ: Operation = Operation::new(3, "file_read");
const SECOND: Duration = Duration::from_secs(1);

fn config() -> QuotaConfig {
    QuotaConfig::new("E2B").takes(CREATE).releases(KILL).seed(Seed::fixed(1))
}

fn quota() -> Quota {
    Quota::new(config()).unwrap()
}

fn call(quota: &Quota, operation: Operation, verdict: Verdict) {
    let (info, now, mut later) = (RequestInfo::new(operation), Tick::now(), Deferred::new());
    let permit = quota.try_acquire(&info, &Now::at(now), &mut later).unwrap();
    quota.record(&info, permit, &Completion::new(verdict, now, now), &mut later);
}

/// Two are in use, and the service is out of slots.
fn full() -> Quota {
    let quota = quota();
    call(&quota, CREATE, Verdict::success());
    call(&quota, CREATE, Verdict::success());
    call(&quota, CREATE, Verdict::exhausted());
    quota
}

/// Every request is watched.
#[derive(Clone)]
struct Watched(Progress);

impl Watch<RequestInfo> for Watched {
    fn progress(&self, info: &RequestInfo) -> Option<Progress> {
        (info.operation == CREATE).then(|| self.0.clone())
    }
}

type Waiting = Admission<Mock<RequestInfo, u64>, Quota, Literal, Watched>;

fn waiting(quota: Quota) -> (Waiting, AdmissionControl<Quota>, Handle<RequestInfo, u64>, Progress) {
    let (mock, handle) = Mock::new(|_, call| Answer::ok(call).after(SECOND));
    let progress = Progress::new();
    let layer = AdmissionLayer::with_gates(Config::new("E2B"), quota).unwrap();
    let layer = layer.classify(Literal).watch(Watched(progress.clone()));
    let control = layer.control().clone();
    (layer.layer(mock), control, handle, progress)
}

#[test]
fn keeps_the_tower_contract_in_admission_control() {
    // Requests of the probe are plain calls: here they are what takes a slot.
    let calls = Quota::new(QuotaConfig::new("test").takes(Operation::CALL)).unwrap();
    let layer = AdmissionLayer::with_gates(Config::new("test"), calls).unwrap();
    Contract::of(move |inner| layer.layer(inner)).run();
}

#[test]
fn operations_that_neither_take_nor_free_a_slot_allocate_nothing() {
    let quota = full();
    assert_eq!(allocations(|| call(&quota, READ, Verdict::success())), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queued_caller_sees_how_many_are_in_use_and_when_the_next_probe_is() {
    let (mut service, _control, _handle, progress) = waiting(full());
    tokio::time::advance(2 * SECOND).await;
    let mut create = spawn(service.call(RequestInfo::new(CREATE)));
    assert!(create.poll().is_pending());

    let CallState::Queued(standing) = progress.snapshot() else { panic!("{progress:?}") };

    let held_by = standing.held_by.as_ref().unwrap();
    let reason = Reason::Exhausted { in_use: 2, limit: 2, lasting: 2 * SECOND };
    assert_eq!(held_by.reason(), reason);
    assert!(held_by.retry_after().unwrap() <= 3 * SECOND);
    let text = standing.to_string();
    let begins = "next in the queue; quota `E2B` for sandbox_create waits for a slot to be free: \
                  2 of 2 are in use, for 2 s; retry in ";
    assert!(text.starts_with(begins), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_kill_lets_one_call_that_waits_go_at_once() {
    let (mut service, control, handle, _) = waiting(full());
    let start = Tick::now();
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let (call, polls) = counted(service.call(RequestInfo::new(CREATE)));
            (tokio::spawn(call), polls)
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(handle.counts().calls, 0);

    service.call(RequestInfo::new(KILL)).await.unwrap();
    tokio::time::sleep(SECOND / 2).await;

    let polls: u32 = calls.iter().map(|(_, polls)| polls.load(Ordering::Relaxed)).sum();
    assert_eq!(handle.counts().calls, 2, "the kill, and one creation");
    // One to join, one to go or to become next, and one of the sentinel after a second.
    assert!(polls <= 5, "{polls} polls");
    for (call, _) in calls {
        call.await.unwrap().unwrap();
    }
    let seen = control.gates().snapshot();
    assert_eq!((seen.in_use, seen.probes, seen.probes_found), (2, 1, 1), "{seen:?}");
    assert!(Tick::now().since(start) > 3 * SECOND, "the second one was sent without a probe");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_seen_elsewhere_lets_one_go_too() {
    let (mut service, control, handle, _) = waiting(full());
    let create = tokio::spawn(service.call(RequestInfo::new(CREATE)));
    tokio::task::yield_now().await;
    assert_eq!(handle.counts().calls, 0);

    control.gates().release(1);

    create.await.unwrap().unwrap();
    assert_eq!(control.gates().snapshot().probes, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_take_no_slot_pass_while_there_is_none() {
    let (mut service, _control, handle, _) = waiting(full());
    service.call(RequestInfo::new(READ)).await.unwrap();
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn no_caller_is_rejected_because_a_probe_comes_after_its_deadline() {
    let (mut service, control, ..) = waiting(full());
    let deadline = Tick::now() + SECOND;
    let create = tokio::spawn(service.call(RequestInfo::new(CREATE).deadline(Some(deadline))));
    tokio::time::sleep(SECOND / 2).await;
    control.gates().release(1);
    create.await.unwrap().unwrap();
    // A caller that gets no slot until its deadline is rejected then.
    let deadline = Tick::now() + SECOND;
    call(control.gates(), KILL, Verdict::success());
    call(control.gates(), CREATE, Verdict::exhausted());
    let error = service.call(RequestInfo::new(CREATE).deadline(Some(deadline))).await.unwrap_err();
    assert!(find::<Rejection>(&*error).is_some(), "{error}");
    assert_eq!(Tick::now(), deadline);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_acquired_and_not_used_goes_to_the_next_call() {
    let (mut service, control, handle, _) = waiting(full());
    handle.set_readiness(|_| sandtower_testkit::Readiness::Pending);
    let mut first = spawn(service.call(RequestInfo::new(CREATE)));
    let mut second = spawn(service.call(RequestInfo::new(CREATE)));
    assert!(first.poll().is_pending() && second.poll().is_pending());
    control.gates().release(1);
    assert!(first.is_woken());
    assert!(first.poll().is_pending(), "the inner service is not ready yet");
    assert!(second.poll().is_pending());

    drop(first);

    assert!(second.is_woken());
    assert!(second.poll().is_pending(), "the second call did not get the slot");
    assert_eq!(control.gates().snapshot().under_way, 1);
}
