//! Shadow mode: it decides, counts and reports, and lets every call through.

use std::{pin::pin, sync::Arc, time::Duration};

use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakers, Config, Scopes, State, Trip};
use sandtower_core::{Change, Gate, Now, RequestInfo, Scope, Subscriber, Verdict};
use sandtower_testkit::Answer;
use std::sync::Mutex;
use tokio::time::advance;

use crate::{
    events::Log,
    support::{
        FAILURES, LEASE, OPEN, acquire, call, configured, end, pass, poll_once, rejection, trip,
    },
};

fn shadow() -> Config {
    Config::classic("E2B").shadow(true)
}

#[tokio::test(start_paused = true)]
async fn it_opens_and_closes_as_it_would_otherwise_and_rejects_no_call() {
    let (breaker, service, handle) = configured(shadow());
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Open);
    for _ in 0..3 {
        call(&service).await.unwrap();
        advance(Duration::from_secs(1)).await;
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.shadow), (State::Open, true));
    let counters = snapshot.counters;
    assert_eq!((counters.would_reject, counters.rejected, counters.trips), (3, 0, 1));
    assert_eq!((counters.succeeded, counters.failed), (3, FAILURES), "their outcomes count");

    advance(OPEN).await;
    call(&service).await.unwrap();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.counters.probes), (State::Closed, 1));
    assert_eq!(snapshot.counters.would_reject, 3, "the probe would have been sent");
    assert_eq!(handle.counts().calls, FAILURES + 4);
}

#[tokio::test(start_paused = true)]
async fn beside_its_probe_every_call_goes_and_a_probe_that_hangs_holds_none() {
    let (breaker, service, handle) = configured(shadow());
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::Hang);
    let mut probe = pin!(call(&service));
    assert!(poll_once(probe.as_mut()).await.is_none());
    handle.set_answers(|_, _| Answer::ok(7));
    call(&service).await.unwrap();
    let snapshot = breaker.snapshot();
    assert_eq!(snapshot.state, State::HalfOpen, "a call that would be rejected is no probe");
    assert_eq!((snapshot.counters.would_reject, snapshot.counters.probes), (1, 1));
    advance(LEASE).await;
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed, "the lease of the first has expired");
}

#[tokio::test(start_paused = true)]
async fn in_the_ramp_it_holds_no_call_and_learns_from_all() {
    let config = shadow().trip(Trip::ConsecutiveFailures(1)).ramp(4);
    let breaker = config.build().unwrap();
    assert!(pass(&breaker, &RequestInfo::default(), Verdict::unknown()));
    advance(OPEN).await;
    assert!(pass(&breaker, &RequestInfo::default(), Verdict::success()));
    assert_eq!(breaker.snapshot().at_once, Some(2));
    let permits: Vec<_> = (0..4).map(|_| acquire(&breaker).unwrap()).collect();
    assert_eq!(breaker.snapshot().counters.would_reject, 2);
    permits.into_iter().for_each(|permit| end(&breaker, permit, Verdict::success()));
    assert_eq!(breaker.snapshot().at_once, None, "four responses end the ramp");
}

#[tokio::test(start_paused = true)]
async fn not_even_an_operator_makes_it_reject() {
    let (breaker, service, _) = configured(shadow());
    breaker.force_open();
    call(&service).await.unwrap();
    assert!(breaker.check(None, &Now::new()).is_none());
    assert_eq!(breaker.snapshot().counters.would_reject, 1);
}

#[derive(Default)]
struct Seen(Mutex<Vec<Change>>);

impl Subscriber for Seen {
    fn changed(&self, change: Change) {
        self.0.lock().unwrap().push(change);
    }
}

#[tokio::test(start_paused = true)]
async fn the_mode_changes_at_run_time_and_its_subscribers_are_notified() {
    let (breaker, service, handle) = configured(Config::classic("E2B"));
    let seen = Arc::new(Seen::default());
    let weak: std::sync::Weak<Seen> = Arc::downgrade(&seen);
    breaker.subscribe(weak);
    trip(&service, &handle).await;
    rejection(call(&service).await);
    breaker.set_shadow(true);
    call(&service).await.unwrap();
    breaker.set_shadow(false);
    rejection(call(&service).await);
    let counters = breaker.snapshot().counters;
    assert_eq!((counters.rejected, counters.would_reject), (2, 1));
    let seen = seen.0.lock().unwrap();
    assert_eq!(*seen, [Change::Closed, Change::Opened, Change::Closed]);
}

#[tokio::test(start_paused = true)]
async fn what_would_have_been_rejected_is_one_line_in_ten_seconds_with_its_count() {
    let (log, _guard) = Log::here();
    let breaker = shadow().build().unwrap();
    for _ in 0..FAILURES {
        assert!(pass(&breaker, &RequestInfo::default(), Verdict::unknown()));
    }
    for _ in 0..100 {
        assert!(pass(&breaker, &RequestInfo::default(), Verdict::unknown()));
    }
    advance(Duration::from_secs(10)).await;
    assert!(pass(&breaker, &RequestInfo::default(), Verdict::unknown()));
    let line = "INFO sandtower::circuit_breaker: circuit breaker would have rejected calls \
                name=\"E2B\" reason=\"open\" count=";
    assert_eq!(log.containing("would have"), [format!("{line}1"), format!("{line}100")]);
    assert_eq!(log.count("circuit breaker rejected calls"), 0);
    assert!(log.containing("opened")[0].ends_with("rejected=0 shadow=true"));
}

#[tokio::test(start_paused = true)]
async fn breakers_by_scope_are_in_it_together() {
    let breakers = CircuitBreakers::new(shadow(), Scopes::default()).unwrap();
    let of = |id| RequestInfo::default().scope(Scope::new(id));
    let is_admitted = |id| acquire_of(&breakers, &of(id));
    breakers.of(Scope::new(1)).force_open();
    assert!(breakers.is_shadow() && is_admitted(1));
    breakers.set_shadow(false);
    assert!(!breakers.is_shadow() && !is_admitted(1) && is_admitted(2));
    breakers.of(Scope::new(2)).force_open();
    breakers.set_shadow(true);
    assert!(is_admitted(1) && is_admitted(2));
    assert!(breakers.snapshots().iter().all(|scope| scope.breaker.shadow));
}

fn acquire_of(breakers: &CircuitBreakers, request: &RequestInfo) -> bool {
    let checked = breakers.check(Some(request), &Now::new()).is_none();
    let passed = pass(breakers, request, Verdict::success());
    assert_eq!(checked, passed);
    passed
}

#[test]
fn it_is_off_by_default() {
    for breaker in [CircuitBreaker::recommended("E2B"), CircuitBreaker::classic("E2B")] {
        assert!(!breaker.is_shadow());
    }
}
