//! The shell over a gate, with a gate that a test opens and shuts.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sandtower_core::{
    ByResult, Change, Completion, Deferred, Gate, Gated, No, Now, Outcome, Reason, Rejection,
    RequestInfo, Stage, Subscriber, Subscribers, Verdict, find,
};
use sandtower_testkit::{Answer, Contract, CountingAllocator, Mock, Readiness, allocations};
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

#[derive(Clone, Debug, Default)]
struct Door(Arc<State>);

#[derive(Debug, Default)]
struct State {
    shut: AtomicBool,
    /// Rejects in `try_acquire` alone: what a scoped gate does, which cannot know before.
    shut_to_all_it_sees: AtomicBool,
    seen: Mutex<Vec<&'static str>>,
    subscribers: Arc<Subscribers>,
}

impl Door {
    fn shut(&self, shut: bool) {
        self.0.shut.store(shut, Ordering::Relaxed);
        self.0.subscribers.notify(if shut { Change::Closed } else { Change::Opened });
    }

    fn see(&self, what: &'static str) {
        self.0.seen.lock().unwrap().push(what);
    }

    fn seen(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.seen.lock().unwrap())
    }
}

fn rejection() -> Rejection {
    Rejection::new("door", "front", Reason::ForcedOpen)
}

fn closed() -> No {
    No::Closed { until: None, why: rejection() }
}

impl Gate for Door {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, _: &Now) -> Option<No> {
        self.0.shut.load(Ordering::Relaxed).then(closed)
    }

    fn try_acquire(&self, _: &RequestInfo, _: &Now, _: &mut Deferred) -> Result<(), No> {
        let shut = [&self.0.shut, &self.0.shut_to_all_it_sees];
        if shut.iter().any(|shut| shut.load(Ordering::Relaxed)) { Err(closed()) } else { Ok(()) }
    }

    fn record(&self, _: &RequestInfo, (): (), done: &Completion, _: &mut Deferred) -> Option<()> {
        self.see(match done.stage {
            Stage::NotSent => "not sent",
            Stage::Head => "head",
            Stage::End => done.verdict.outcome.label(),
        });
        None
    }

    fn not_ready(&self, verdict: &Verdict, _: &Now, _: &mut Deferred) {
        assert_eq!(verdict.outcome, Outcome::Unknown);
        self.see("not ready");
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.subscribers.add(subscriber);
    }
}

fn gated<S>(inner: S, door: &Door) -> Gated<S, Door, ByResult> {
    Gated::new(inner, door.clone(), ByResult::default())
}

#[test]
fn keeps_the_tower_contract() {
    Contract::of(|inner| gated(inner, &Door::default())).run();
}

#[tokio::test(start_paused = true)]
async fn a_shut_gate_rejects_although_the_service_below_is_pending() {
    let (mock, handle) = Mock::<u64, u64>::always(1);
    handle.set_readiness(|_| Readiness::Pending);
    let door = Door::default();
    door.shut(true);

    let error = gated(mock, &door).oneshot(0).await.unwrap_err();

    assert_eq!(find::<Rejection>(&*error), Some(&rejection()));
    assert_eq!(handle.counts().readiness_polls, 0, "what is below was touched");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_readiness_below_is_woken_and_rejected_when_the_gate_shuts() {
    let (mock, handle) = Mock::<u64, u64>::always(1);
    handle.set_readiness(|_| Readiness::Pending);
    let door = Door::default();
    let mut call = tokio_test::task::spawn(gated(mock, &door).oneshot(0));
    assert!(call.poll().is_pending());

    door.shut(true);

    assert!(call.is_woken(), "the caller sleeps on");
    assert!(call.await.is_err());
    assert_eq!(handle.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_was_remembered_is_checked_again_in_call() {
    let (mock, handle) = Mock::<u64, u64>::always(1);
    let door = Door::default();
    let mut service = gated(mock, &door);
    door.shut(true);
    service.ready().await.unwrap();
    assert!(service.call(0).await.is_err(), "it is still shut");

    service.ready().await.unwrap();
    door.shut(false);
    assert_eq!(service.call(0).await.unwrap(), 1, "it was opened meanwhile");

    door.shut(true);
    service.ready().await.unwrap();
    door.shut(false);
    handle.set_readiness(|_| Readiness::Pending);
    let error = service.call(0).await.unwrap_err();
    assert!(find::<Rejection>(&*error).is_some(), "what is below is not ready: {error}");
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_after_the_gate_opened_is_not_used_again() {
    let (mock, handle) = Mock::<u64, u64>::always(1);
    let door = Door::default();
    let mut service = gated(mock, &door);
    door.shut(true);
    service.ready().await.unwrap();
    door.shut(false);
    handle.set_readiness(|_| Readiness::Err("gone".into()));
    assert_eq!(service.call(0).await.unwrap_err().to_string(), "gone");
    assert_eq!(door.seen(), ["not ready", "not sent"]);

    handle.set_readiness(|_| Readiness::Ready);
    assert_eq!(service.ready().await.unwrap().call(0).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_call_gives_up_what_was_reserved_below() {
    let door = Door::default();
    let inner = ConcurrencyLimit::new(tower::service_fn(async |n: u64| Ok::<_, String>(n)), 2);
    let service = gated(inner, &door);
    let mut idle = [service.clone(), service.clone()];
    for clone in &mut idle {
        clone.ready().await.unwrap();
    }
    door.0.shut_to_all_it_sees.store(true, Ordering::Relaxed);
    for clone in &mut idle {
        clone.call(1).await.unwrap_err();
    }
    door.0.shut_to_all_it_sees.store(false, Ordering::Relaxed);
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7, "both places are still taken");

    // The same for readiness that the gate overtook.
    for clone in &mut idle {
        clone.ready().await.unwrap();
    }
    door.shut(true);
    for clone in &mut idle {
        clone.ready().await.unwrap();
    }
    door.shut(false);
    assert_eq!(service.oneshot(8).await.unwrap(), 8, "both places are still taken");
}

#[tokio::test(start_paused = true)]
async fn the_gate_hears_what_came_of_every_attempt() {
    let (mock, _handle) =
        Mock::<u64, u64>::in_turn([Answer::ok(1), Answer::err("no"), Answer::Hang]);
    let door = Door::default();
    let mut service = gated(mock, &door);

    service.ready().await.unwrap().call(0).await.unwrap();
    assert_eq!(door.seen(), ["success"]);
    service.ready().await.unwrap().call(0).await.unwrap_err();
    assert_eq!(door.seen(), ["unknown"]);
    drop(service.ready().await.unwrap().call(0));
    assert_eq!(door.seen(), ["cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn the_gate_hears_of_a_service_that_fails_to_become_ready() {
    let (mock, handle) = Mock::<u64, u64>::always(1);
    handle.set_readiness(|_| Readiness::Err("gone".into()));
    let door = Door::default();

    gated(mock, &door).oneshot(0).await.unwrap_err();

    assert_eq!(door.seen(), ["not ready"]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn a_rejection_that_is_polled_again_panics() {
    let (mock, _handle) = Mock::<u64, u64>::always(1);
    let door = Door::default();
    door.shut(true);
    let mut service = gated(mock, &door);
    let mut call = tokio_test::task::spawn(service.ready().await.unwrap().call(0));
    assert!(call.poll().is_ready());
    let _ = call.poll();
}

#[test]
fn a_call_allocates_nothing_and_a_rejection_only_its_error() {
    let door = Door::default();
    let mut service =
        gated(tower::service_fn(|n: u64| std::future::ready(Ok::<_, std::io::Error>(n))), &door);
    let mut call = || {
        allocations(|| {
            let mut task = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(service.poll_ready(&mut task).is_ready());
            let mut future = std::pin::pin!(service.call(1));
            assert!(future.as_mut().poll(&mut task).is_ready());
        })
    };
    call();
    door.seen();
    // The test's own door notes what it sees.
    door.0.seen.lock().unwrap().reserve(10);
    assert_eq!(call(), 0);
    door.shut(true);
    // Twice a name, which this test's gate makes anew each time, and the boxed error.
    assert_eq!(call(), 3);
}
