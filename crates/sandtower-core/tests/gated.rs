//! The shell over a gate, with a gate that a test opens and shuts.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sandtower_core::{
    ByResult, Clock, Completion, Gate, Gated, Outcome, Reason, Rejection, RequestInfo, Subscriber,
    Subscribers, Take, Tick, Verdict, find,
};
use sandtower_testkit::{Answer, Contract, CountingAllocator, Mock, Readiness, allocations};
use tower::{Service, ServiceExt};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

/// Time is of no matter here.
#[derive(Clone, Copy)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Tick {
        Tick::ZERO
    }
}

#[derive(Clone, Debug, Default)]
struct Door(Arc<State>);

#[derive(Debug, Default)]
struct State {
    shut: AtomicBool,
    seen: Mutex<Vec<&'static str>>,
    watchers: Subscribers,
}

impl Door {
    fn shut(&self, shut: bool) {
        self.0.shut.store(shut, Ordering::Relaxed);
        self.0.watchers.notify();
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

impl Gate for Door {
    type Token = ();

    fn take(&self, _: &RequestInfo, _: Tick) -> Take<()> {
        if self.0.shut.load(Ordering::Relaxed) { Take::Reject(rejection()) } else { Take::Open(()) }
    }

    fn give_back(&self, _: &RequestInfo, (): ()) {
        self.see("given back");
    }

    fn settle(&self, _: &RequestInfo, (): (), settlement: &Completion) {
        self.see(settlement.verdict.outcome.label());
    }

    fn peek(&self, _: &impl Clock) -> Option<Rejection> {
        self.0.shut.load(Ordering::Relaxed).then(rejection)
    }

    fn unready(&self, verdict: &Verdict, _: Tick) {
        assert_eq!(verdict.outcome, Outcome::Unknown);
        self.see("unready");
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.0.watchers.add(changed);
    }
}

fn gated<S>(inner: S, door: &Door) -> Gated<S, Door, ByResult, Stopped> {
    Gated::new(inner, door.clone(), ByResult::default(), Stopped)
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
async fn who_waits_for_readiness_below_is_woken_and_rejected_when_the_gate_shuts() {
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
async fn a_gate_that_opens_after_it_rejected_readiness_does_not_let_an_unready_instance_be_called()
{
    let (mock, handle) = Mock::<u64, u64>::always(1);
    let door = Door::default();
    let mut service = gated(mock, &door);
    door.shut(true);
    service.ready().await.unwrap();
    door.shut(false);

    assert!(service.call(0).await.is_err());
    assert_eq!(handle.counts().calls, 0);
    assert_eq!(service.ready().await.unwrap().call(0).await.unwrap(), 1);
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

    assert_eq!(door.seen(), ["unready"]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_may_be_missing_is_that_gate_or_always_open() {
    let door = Door::default();
    door.shut(true);
    let gated = |gate: Option<Door>| {
        let (mock, _handle) = Mock::<u64, u64>::always(7);
        Gated::new(mock, gate, ByResult::default(), Stopped)
    };
    assert_eq!(gated(None).oneshot(1).await.unwrap(), 7);
    assert!(gated(Some(door.clone())).oneshot(1).await.is_err());
    door.shut(false);
    assert_eq!(gated(Some(door.clone())).oneshot(1).await.unwrap(), 7);
    assert_eq!(door.seen(), ["success"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_pair_of_gates_both_are_taken_or_none() {
    let (first, second) = (Door::default(), Door::default());
    second.shut(true);
    let both = (first.clone(), second.clone());

    assert!(matches!(both.take(&RequestInfo::default(), Tick::ZERO), Take::Reject(_)));
    assert_eq!((first.seen(), second.seen()), (vec!["given back"], vec![]));
}

/// Needs no time.
#[derive(Clone, Default)]
struct Timeless(Door);

impl Gate for Timeless {
    type Token = ();

    fn take(&self, _: &RequestInfo, _: Tick) -> Take<()> {
        Take::Open(())
    }

    fn give_back(&self, info: &RequestInfo, (): ()) {
        self.0.give_back(info, ());
    }

    fn settle(&self, info: &RequestInfo, (): (), settlement: &Completion) {
        self.0.settle(info, (), settlement);
    }

    fn settle_untimed(&self, _: &RequestInfo, (): (), _: &Verdict) -> Option<()> {
        self.0.see("untimed");
        None
    }

    fn watch(&self, _: Weak<dyn Subscriber>) {}
}

#[test]
fn of_a_pair_of_gates_each_is_settled_once_whether_it_needs_the_time_or_not() {
    let (timed, timeless) = (Door::default(), Timeless::default());
    let both = (timeless.clone(), timed.clone());
    let Take::Open(token) = both.take(&RequestInfo::default(), Tick::ZERO) else { panic!("shut") };
    let info = RequestInfo::default();

    let token = both.settle_untimed(&info, token, &Verdict::success());
    both.settle(
        &info,
        token.expect("one needs the time"),
        &Completion::new(Verdict::success(), Tick::ZERO, Tick::ZERO),
    );

    assert_eq!((timeless.0.seen(), timed.seen()), (vec!["untimed"], vec!["success"]));
    let neither = (timeless.clone(), timeless.clone());
    let Take::Open(token) = neither.take(&info, Tick::ZERO) else { panic!("shut") };
    assert!(neither.settle_untimed(&info, token, &Verdict::success()).is_none());
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
    // The name of the rejection is made anew by this test's gate.
    assert_eq!(call(), 2);
}
