//! The handle: what it tells, what it steers, whom it tells; and the breaker as a gate.

#![allow(clippy::expect_used, reason = "a test reports by panicking")]

mod support;

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sandtower_circuit_breaker::{CircuitBreaker, Config, State, WhenOpen};
use sandtower_core::{Clock, Completion, Gate, Reason, RequestInfo, Subscriber, Take, Verdict};
use sandtower_time::TokioClock;
use serde_json::json;
use support::{FAILURES, LEASE, OPEN, call, classic, rejection, trip};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_all_it_knows_in_plain_numbers() {
    let (breaker, service, handle) = classic();
    call(&service).await.unwrap();
    trip(&service, &handle).await;
    advance(Duration::from_millis(15_000)).await;
    rejection(call(&service).await);
    assert_eq!(
        serde_json::to_value(breaker.snapshot()).unwrap(),
        json!({
            "name": "E2B",
            "state": "open",
            "forced": false,
            "since_ms": 15_000,
            "at_once": 0,
            "recent_failures": 5,
            "recent_calls": 5,
            "last_cause": "unknown",
            "retry_in_ms": 45_000,
            "counters": {
                "succeeded": 1, "failed": 5, "throttled": 0, "declined": 0, "cancelled": 0,
                "late": 0, "rejected": 1, "probes": 0, "expired_probes": 0, "trips": 1,
            },
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_in_half_open_begins_when_the_open_time_ends() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN + Duration::from_secs(3)).await;
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.since), (State::HalfOpen, Duration::from_secs(3)));
    assert_eq!(snapshot.retry_in, None);
}

#[tokio::test(start_paused = true)]
async fn forced_open_it_rejects_until_released_and_then_probes() {
    let (breaker, service, _handle) = classic();
    breaker.force_open();
    advance(OPEN * 1_000).await;
    let rejected = rejection(call(&service).await);
    assert_eq!(rejected.to_string(), "circuit breaker `E2B` is open: an operator forced it");
    assert!(breaker.snapshot().forced);

    breaker.release();
    assert_eq!(breaker.state(), State::HalfOpen);
    call(&service).await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn forced_closed_it_lets_everything_through_until_released() {
    let (breaker, service, handle) = classic();
    breaker.force_closed();
    trip(&service, &handle).await;
    trip(&service, &handle).await;
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().recent_failures, 10);

    breaker.release();
    assert_eq!(breaker.snapshot().recent_failures, 0);
    trip(&service, &handle).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn releasing_what_was_not_forced_does_nothing() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    breaker.release();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_reset_closes_it_and_keeps_the_counters() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    breaker.reset();
    assert_eq!(breaker.state(), State::Closed);
    call(&service).await.unwrap();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.counters.failed, snapshot.counters.trips), (FAILURES, 1));
    assert_eq!((snapshot.last_cause, snapshot.forced), (None, false));
}

/// Stands in for a waiting room: it takes and gives back under a lock that it also takes when told
/// of a change.
struct AdmissionControl {
    breaker: CircuitBreaker,
    lock: Mutex<()>,
    told: AtomicU32,
}

impl AdmissionControl {
    fn watching(breaker: &CircuitBreaker) -> Arc<Self> {
        let room = Arc::new(Self {
            breaker: breaker.clone(),
            lock: Mutex::new(()),
            told: AtomicU32::new(0),
        });
        let weak: Weak<Self> = Arc::downgrade(&room);
        breaker.watch(weak);
        room
    }

    fn take(&self) -> Take<<CircuitBreaker as Gate>::Token> {
        let _inside = self.lock.try_lock().expect("the room is not called under its own lock");
        self.breaker.take(&RequestInfo::default(), TokioClock.now())
    }

    fn give_back(&self, token: <CircuitBreaker as Gate>::Token) {
        let _inside = self.lock.try_lock().expect("the room is not called under its own lock");
        self.breaker.give_back(&RequestInfo::default(), token);
    }

    fn settle(&self, token: <CircuitBreaker as Gate>::Token, verdict: Verdict) {
        let now = TokioClock.now();
        self.breaker.settle(&RequestInfo::default(), token, &Completion::new(verdict, now, now));
    }

    fn token(&self) -> <CircuitBreaker as Gate>::Token {
        match self.take() {
            Take::Open(token) => token,
            no => panic!("{no:?}"),
        }
    }

    /// How often it was told since it was last asked.
    fn told(&self) -> u32 {
        self.told.swap(0, Ordering::Relaxed)
    }
}

impl Subscriber for AdmissionControl {
    fn changed(&self) {
        let _inside = self.lock.try_lock().expect("not told from take or give_back");
        // A gate that held its own lock now would never return from this.
        let _ = self.breaker.snapshot();
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn watchers_are_told_of_every_change_that_no_instant_told_of_and_of_nothing_else() {
    let breaker = Config::classic("E2B").successes(2).build().unwrap();
    let room = AdmissionControl::watching(&breaker);
    for _ in 1..FAILURES {
        let token = room.token();
        room.settle(token, Verdict::unknown());
    }
    let token = room.token();
    assert_eq!(room.told(), 0, "nothing has changed");
    room.settle(token, Verdict::unknown());
    assert_eq!(room.told(), 1, "it has opened");

    advance(OPEN).await;
    let probe = room.token();
    room.give_back(probe);
    assert_eq!(room.told(), 0, "neither take nor give_back tells");
    let probe = room.token();
    room.settle(probe, Verdict::cancelled());
    assert_eq!(room.told(), 1, "a place is free");
    let probe = room.token();
    room.settle(probe, Verdict::success());
    assert_eq!(room.told(), 1, "the next probe may go");
    let probe = room.token();
    room.settle(probe, Verdict::success());
    assert_eq!((room.told(), breaker.state()), (1, State::Closed));

    breaker.force_open();
    breaker.release();
    breaker.reset();
    assert_eq!(room.told(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_holds_tells_when_the_next_probe_is_due() {
    let breaker = Config::classic("E2B").when_open(WhenOpen::Hold).build().unwrap();
    let room = AdmissionControl::watching(&breaker);
    let opened = TokioClock.now();
    for _ in 0..FAILURES {
        let token = room.token();
        room.settle(token, Verdict::unknown());
    }
    let Take::NotBefore(at, why) = room.take() else { panic!("it holds") };
    assert_eq!((at, why.reason()), (opened + OPEN, Reason::Open { failed: 5, of: 5 }));

    advance(OPEN).await;
    let _probe = room.token();
    let Take::NotBefore(at, why) = room.take() else { panic!("it holds") };
    assert_eq!((at, why.reason()), (opened + OPEN + LEASE, Reason::Probing));
    assert!(breaker.peek(&TokioClock).is_none(), "who waits long enough is served");
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_wherever_they_are_made() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    for _ in 0..3 {
        rejection(call(&service).await);
    }
    assert!(matches!(breaker.take(&RequestInfo::default(), TokioClock.now()), Take::Reject(_)));
    assert_eq!(breaker.snapshot().counters.rejected, 4);
}

#[tokio::test(start_paused = true)]
async fn on_the_way_back_watchers_are_told_whenever_somebody_may_have_been_kept_waiting() {
    let config = Config::classic("E2B").ramp(3);
    let breaker = config.build().unwrap();
    let room = AdmissionControl::watching(&breaker);
    for _ in 0..FAILURES {
        let token = room.token();
        room.settle(token, Verdict::unknown());
    }
    advance(OPEN).await;
    let probe = room.token();
    room.told();
    room.settle(probe, Verdict::success());
    assert_eq!(room.told(), 1, "it has closed");

    let [one, two] = [(); 2].map(|()| room.token());
    assert!(matches!(room.take(), Take::NotBefore(..)), "held, although it rejects while open");
    room.settle(one, Verdict::success());
    assert_eq!(room.told(), 1, "two places are free");
    room.settle(two, Verdict::success());
    assert_eq!(room.told(), 0, "nobody can have been waiting");
    let three = room.token();
    room.settle(three, Verdict::success());
    assert_eq!(room.told(), 1, "the way back is over");
}

#[test]
fn no_answer_is_counted_twice_or_not_at_all_however_many_threads_count() {
    let breaker = Config::new("E2B").build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for call in 0..10_000 {
                    let now = TokioClock.now();
                    let Take::Open(token) = breaker.take(&RequestInfo::default(), now) else {
                        continue;
                    };
                    let verdict = match call % 10 {
                        0 => Verdict::unknown(),
                        1 => Verdict::permanent(),
                        _ => Verdict::success(),
                    };
                    let settlement = Completion::new(verdict, now, now);
                    breaker.settle(&RequestInfo::default(), token, &settlement);
                }
            });
        }
    });
    let counters = breaker.snapshot().counters;
    let counted = [counters.succeeded, counters.declined, counters.failed, counters.late];
    assert_eq!(counted.iter().sum::<u64>() + counters.rejected, 40_000);
}
