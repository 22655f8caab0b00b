//! No call sleeps while it could be admitted, regardless of changes and of calls that are not polled.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandtower_admission::{Admission, AdmissionControl, AdmissionLayer, Config, Progress, Watch};
use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Reason, Rejection, RequestInfo, Scope, Subscriber,
    Subscribers, Tick, Verdict, find,
};
use sandtower_testkit::{Answer, Mock};
use tokio::task::yield_now;
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::support::{Literal, Pace, counted};

const SECOND: Duration = Duration::from_secs(1);

type Limited<G = ()> = Admission<Mock<RequestInfo, u64>, G, Literal>;

fn admission<G: Gate>(config: Config, gates: G) -> (Limited<G>, AdmissionControl<G>) {
    let (mock, _handle) = Mock::new(|_, call| Answer::ok(call).after(SECOND));
    let layer = AdmissionLayer::with_gates(config, gates).unwrap().classify(Literal);
    let control = layer.control().clone();
    (layer.layer(mock), control)
}

fn one_at_a_time() -> (Limited, AdmissionControl) {
    admission(Config::new("test").concurrency(1), ())
}

fn arrived(at: Tick) -> RequestInfo {
    RequestInfo::default().arrived(Some(at))
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_returns_before_a_call_that_was_woken_strands_neither() {
    let start = Tick::now();
    let (mut service, control) = one_at_a_time();
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    let mut a = spawn(service.call(RequestInfo::default()));
    assert!(a.poll().is_pending());
    tokio::time::advance(SECOND / 2).await;
    let mut c = spawn(service.call(RequestInfo::default()));
    assert!(c.poll().is_pending());
    tokio::time::advance(2 * SECOND).await;
    drop(inside);
    assert!(a.is_woken());
    // `a` was woken and not polled yet when an attempt returns at its old place.
    let back = tokio::spawn(service.call(arrived(start)));
    let (a, c) = (tokio::spawn(a.into_inner()), tokio::spawn(c.into_inner()));
    for call in [back, a, c] {
        tokio::time::timeout(10 * SECOND, call).await.expect("a call sleeps").unwrap().unwrap();
    }
    assert_eq!(control.snapshot().queues[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_returns_to_a_paced_queue_strands_neither_itself_nor_the_others() {
    for returns_after in [0, 1, 2, 4] {
        let start = Tick::now();
        let (mut service, control) = admission(Config::new("test"), Pace::new(5 * SECOND));
        service.call(RequestInfo::default()).await.unwrap();
        let mut calls: Vec<_> =
            (0..2).map(|_| tokio::spawn(service.call(RequestInfo::default()))).collect();
        yield_now().await;
        tokio::time::sleep(returns_after * SECOND).await;
        calls.push(tokio::spawn(service.call(arrived(start))));
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(Tick::now().since(start), 16 * SECOND, "after {returns_after}");
        assert_eq!(control.snapshot().queues[0].waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn in_any_order_of_arrivals_returns_and_departures_all_calls_are_served() {
    for seed in 0..100 {
        let mut rng = sandtower_core::Rng::with_seed(seed);
        let pace = Pace::new(SECOND / 20);
        let (mut service, control) = admission(Config::new("test").concurrency(2), pace);
        let start = Tick::now();
        let mut calls = Vec::new();
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..80))).await;
            let back = start + Duration::from_millis(rng.u64(0..2_000));
            let info = if rng.bool() { arrived(back.min(Tick::now())) } else { arrived(start) };
            let call = service.call(info);
            let patience = Duration::from_millis(rng.u64(0..10_000));
            let leaves = rng.u8(0..3) == 0;
            calls.push(tokio::spawn(async move {
                if leaves {
                    return tokio::time::timeout(patience, call).await.map_or(Ok(0), |done| done);
                }
                call.await
            }));
        }
        for call in calls {
            let served = tokio::time::timeout(200 * SECOND, call).await;
            served.unwrap_or_else(|_| panic!("seed {seed}: a call sleeps")).unwrap().unwrap();
        }
        let queue = control.snapshot().queues[0];
        assert_eq!((queue.in_flight, queue.waiting), (0, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_free_slot_skips_calls_that_are_not_polled() {
    for absent in [1, 2, 3] {
        let (mut service, control) = admission(Config::new("test").concurrency(4), ());
        let mut inside: Vec<_> =
            (0..4).map(|_| spawn(service.call(RequestInfo::default()))).collect();
        inside.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
        // In the queue, and never polled again.
        let mut absent: Vec<_> =
            (0..absent).map(|_| spawn(service.call(RequestInfo::default()))).collect();
        absent.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
        let alive: Vec<_> =
            (0..3).map(|_| tokio::spawn(service.call(RequestInfo::default()))).collect();
        yield_now().await;
        drop(inside);
        let start = Tick::now();
        // Two adjacent calls that are not polled are skipped at the next event in the queue.
        let newcomer = async {
            tokio::time::sleep(3 * SECOND).await;
            service.call(RequestInfo::default()).await
        };
        newcomer.await.unwrap();
        for call in alive {
            tokio::time::timeout(10 * SECOND, call).await.expect("a call sleeps").unwrap().unwrap();
        }
        assert!(Tick::now().since(start) <= 10 * SECOND);
        let queue = control.snapshot().queues[0];
        assert_eq!((queue.in_flight, queue.waiting), (0, absent.len() as u32));
        // The skipped call is served once it is polled.
        for call in absent {
            call.into_inner().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_that_is_not_polled_holds_the_others_up_for_two_seconds_at_most() {
    let (mut service, _control) = one_at_a_time();
    let mut inside = spawn(service.call(RequestInfo::default()));
    assert!(inside.poll().is_pending());
    let mut absent = spawn(service.call(RequestInfo::default()));
    assert!(absent.poll().is_pending());
    let alive = tokio::spawn(service.call(RequestInfo::default()));
    yield_now().await;
    drop(inside);
    let start = Tick::now();
    alive.await.unwrap().unwrap();
    let took = Tick::now().since(start);
    assert!(took >= 2 * SECOND, "a second of grace, and a second below: {took:?}");
    assert!(took <= 3 * SECOND, "{took:?}");
    drop(absent);
}

#[tokio::test(start_paused = true)]
async fn when_the_call_that_checks_on_the_others_leaves_another_does_it() {
    let config = Config::new("test").concurrency(1).newest_first_after(Duration::MAX);
    let (mut service, _control) = admission(config, ());
    let [mut inside, mut absent] = [(); 2].map(|()| spawn(service.call(RequestInfo::default())));
    assert!(inside.poll().is_pending());
    assert!(absent.poll().is_pending());
    let alive = tokio::spawn(service.call(RequestInfo::default()));
    tokio::time::sleep(SECOND / 2).await;
    // Polled last, so it checks once a second; the others sleep.
    let mut last = spawn(service.call(RequestInfo::default()));
    assert!(last.poll().is_pending());
    tokio::time::sleep(SECOND).await;
    drop(last);
    drop(inside);
    assert!(absent.is_woken(), "the first of the queue was not woken");
    let served = tokio::time::timeout(4 * SECOND, alive).await;
    served.expect("no call checks whether the first is polled").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_expected_wait_follows_from_the_position_of_the_call() {
    let config = Config::new("test").concurrency(1).newest_first_after(Duration::MAX);
    let (mut service, _control) = admission(config, ());
    let start = Tick::now();
    tokio::time::advance(SECOND / 100).await;
    let calls: Vec<_> =
        (0..20).map(|_| tokio::spawn(service.call(RequestInfo::default()))).collect();
    tokio::time::sleep(4 * SECOND + SECOND / 2).await;
    // Fifteen wait; this one would be first.
    let back = arrived(start).deadline(Some(Tick::now() + 5 * SECOND));
    let mut other = service.clone();
    service.call(back).await.unwrap();
    let newcomer = RequestInfo::default().deadline(Some(Tick::now() + 5 * SECOND));
    let error = other.call(newcomer).await.unwrap_err();
    let reason = find::<Rejection>(&*error).unwrap().reason();
    assert!(matches!(reason, Reason::NoTime { .. }), "it would be last: {error}");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn where_the_newest_goes_first_the_oldest_do_not_wait_forever() {
    for (longest, expected) in [(None, 120), (Some(10), 10)] {
        let mut config = Config::new("test").concurrency(1);
        if let Some(longest) = longest {
            config = config.longest_wait(longest * SECOND);
        }
        let (mut service, control) = admission(config, ());
        // 110 % of the capacity, and no deadlines.
        let mut calls = Vec::new();
        for _ in 0..600 {
            let call = service.call(RequestInfo::default());
            calls.push(tokio::spawn(async move {
                let start = Tick::now();
                (call.await.is_ok(), Tick::now().since(start))
            }));
            tokio::time::sleep(SECOND * 10 / 11).await;
        }
        let mut longest = Duration::ZERO;
        for call in calls {
            let (served, took) = call.await.unwrap();
            longest = longest.max(if served { took - SECOND } else { took });
        }
        assert!(longest <= expected * SECOND, "{longest:?}");
        assert!(control.snapshot().queues[0].rejected_late > 0);
    }
}

/// Panics for one request.
#[derive(Clone)]
struct Panics;

impl Watch<RequestInfo> for Panics {
    fn progress(&self, info: &RequestInfo) -> Option<Progress> {
        assert!(info.deadline.is_none(), "user code panics");
        None
    }
}

#[tokio::test(start_paused = true)]
async fn user_code_that_panics_leaks_no_slot() {
    let (mock, _handle) = Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call));
    let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap();
    let layer = layer.classify(Literal).watch(Panics);
    let mut service = layer.layer(mock);
    let bad = RequestInfo::default().deadline(Some(Tick::MAX));
    for _ in 0..3 {
        let mut service = service.clone();
        let call = tokio::spawn(async move { service.call(bad).await });
        assert!(call.await.unwrap_err().is_panic());
    }
    let start = Tick::now();
    service.call(RequestInfo::default()).await.unwrap();
    assert_eq!(Tick::now(), start);
    assert_eq!(layer.control().snapshot().queues[0].in_flight, 0);
}

/// Holds one scope for as long as the test says.
#[derive(Default)]
struct Holding {
    held: std::sync::Mutex<Option<(Scope, Tick)>>,
    subscribers: Arc<Subscribers>,
}

impl Gate for Holding {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, _: &Now) -> Option<No> {
        None
    }

    fn try_acquire(&self, info: &RequestInfo, now: &Now, _: &mut Deferred) -> Result<(), No> {
        match *self.held.lock().unwrap() {
            Some((scope, until)) if info.scope == scope && now.tick() < until => {
                let why = Rejection::new("hold", "test", Reason::Throttled);
                Err(No::Wait { earliest: until, look_again: until, why })
            }
            _ => Ok(()),
        }
    }

    fn record(&self, _: &RequestInfo, (): (), _: &Completion, _: &mut Deferred) -> Option<()> {
        None
    }

    fn not_ready(&self, _: &Verdict, _: &Now, _: &mut Deferred) {}

    fn subscribe(&self, subscriber: std::sync::Weak<dyn Subscriber>) {
        self.subscribers.add(subscriber);
    }
}

fn scoped(scope: u64) -> RequestInfo {
    RequestInfo::default().scope(Scope::new(scope))
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_gate_does_not_hold_overtake_those_that_it_holds() {
    let gate = Arc::new(Holding::default());
    let (mut service, _control) = admission(Config::new("test"), Arc::clone(&gate));
    let start = Tick::now();
    *gate.held.lock().unwrap() = Some((Scope::new(1), start + 60 * SECOND));
    let held: Vec<_> = (0..5).map(|_| tokio::spawn(service.call(scoped(1)))).collect();
    yield_now().await;
    let others: Vec<_> = (2..10).map(|scope| tokio::spawn(service.call(scoped(scope)))).collect();
    for call in others {
        call.await.unwrap().unwrap();
    }
    assert_eq!(Tick::now().since(start), SECOND, "other scopes waited for scope 1");
    for call in held {
        call.await.unwrap().unwrap();
    }
    assert_eq!(Tick::now().since(start), 61 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn one_of_the_calls_that_a_gate_holds_checks_it_again_and_not_all() {
    let gate = Arc::new(Holding::default());
    let (mut service, _control) = admission(Config::new("test"), Arc::clone(&gate));
    *gate.held.lock().unwrap() = Some((Scope::new(1), Tick::now() + 60 * SECOND));
    let mut polls = Vec::new();
    for _ in 0..100 {
        let (call, counter) = counted(service.call(scoped(1)));
        tokio::spawn(call);
        polls.push(counter);
    }
    tokio::time::sleep(50 * SECOND).await;
    for _ in 0..20 {
        gate.subscribers.notify(Change::Opened);
        tokio::time::sleep(SECOND / 10).await;
    }
    let total: u32 = polls.iter().map(|polls| polls.load(Ordering::Relaxed)).sum();
    // Each on arrival and a second later, as it was polled last then; the first at each change; and one
    // of them each second.
    assert!(total <= 2 * 100 + 20 + 55, "{total} polls");
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_one_control_returns_to_a_shared_gate_wakes_the_other() {
    let pace = Pace::new(100 * SECOND);
    let (mock, handle) = Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call));
    handle.set_readiness(|_| sandtower_testkit::Readiness::Pending);
    let layer = || {
        let layer = AdmissionLayer::with_gates(Config::new("test"), Arc::clone(&pace));
        layer.unwrap().classify(Literal)
    };
    let (mut one, mut other) = (layer().layer(mock.clone()), layer().layer(mock));
    let mut admitted = spawn(one.call(RequestInfo::default()));
    assert!(admitted.poll().is_pending());
    let mut waits = spawn(other.call(RequestInfo::default()));
    assert!(waits.poll().is_pending());
    drop(admitted);
    assert!(waits.is_woken(), "the other control was not notified of the permit that came back");
}
