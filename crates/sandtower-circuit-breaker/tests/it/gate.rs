//! The breaker as a gate: what it says, and whom it notifies when that changes.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use sandtower_circuit_breaker::{CircuitBreaker, Config, Permit, State};
use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Reason, RequestInfo, Subscriber, Tick, Verdict,
};
use tokio::time::advance;

use crate::support::{FAILURES, LEASE, OPEN, acquire, end, not_sent};

const SECOND: Duration = Duration::from_secs(1);

/// Stands in for admission control: it asks under a lock that it also takes when it is notified.
struct Queue {
    breaker: CircuitBreaker,
    lock: Mutex<()>,
    opened: AtomicU32,
    closed: AtomicU32,
}

impl Queue {
    fn over(breaker: &CircuitBreaker) -> Arc<Self> {
        let (lock, opened, closed) = Default::default();
        let queue = Arc::new(Self { breaker: breaker.clone(), lock, opened, closed });
        let weak: Weak<Self> = Arc::downgrade(&queue);
        breaker.subscribe(weak);
        queue
    }

    fn acquire(&self) -> Result<Permit, No> {
        let mut later = Deferred::new();
        let _inside = self.lock.try_lock().expect("not called under its own lock");
        self.breaker.try_acquire(&RequestInfo::default(), &Now::new(), &mut later)
    }

    fn record(&self, permit: Permit, done: &Completion) {
        let mut later = Deferred::new();
        let _inside = self.lock.try_lock().expect("not called under its own lock");
        self.breaker.record(&RequestInfo::default(), permit, done, &mut later);
    }

    fn end(&self, permit: Permit, verdict: Verdict) {
        let now = Tick::now();
        self.record(permit, &Completion::new(verdict, now, now));
    }

    fn not_sent(&self, permit: Permit) {
        self.record(permit, &Completion::not_sent(Tick::now()));
    }

    fn permit(&self) -> Permit {
        self.acquire().expect("a permit")
    }

    fn is_denied(&self) -> bool {
        matches!(self.acquire(), Err(No::Wait { .. }))
    }

    /// How often it was notified that the gate opened and closed, since the last call.
    fn notified(&self) -> (u32, u32) {
        (self.opened.swap(0, SeqCst), self.closed.swap(0, SeqCst))
    }

    fn trip(&self) {
        for _ in 0..FAILURES {
            let permit = self.permit();
            self.end(permit, Verdict::unknown());
        }
        self.notified();
    }

    /// One probe in flight, and a call that was turned away.
    async fn probe_waited_for(&self) -> Permit {
        self.trip();
        advance(OPEN).await;
        let probe = self.permit();
        assert!(self.is_denied());
        probe
    }
}

impl Subscriber for Queue {
    fn changed(&self, change: Change) {
        let _inside = self.lock.try_lock().expect("notified after the outermost lock");
        // A gate that held its own lock now would never return from this.
        let _ = self.breaker.snapshot();
        match change {
            Change::Opened => self.opened.fetch_add(1, SeqCst),
            Change::Closed => self.closed.fetch_add(1, SeqCst),
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_breaker_reads_no_clock() {
    let breaker = CircuitBreaker::recommended("E2B");
    let (now, request) = (Now::new(), RequestInfo::default());
    assert!(breaker.check(None, &now).is_none());
    let permit = breaker.try_acquire(&request, &now, &mut Deferred::new()).unwrap();
    let done = Completion::new(Verdict::success(), Tick::ZERO, now.clone());
    assert!(breaker.record(&request, permit, &done, &mut Deferred::new()).is_none());
    // The first reading sets it.
    advance(SECOND).await;
    assert_eq!(now.tick(), Tick::now(), "check and try_acquire");
    assert_eq!(done.now(), Tick::now(), "record");
}

#[tokio::test(start_paused = true)]
async fn a_closed_breaker_with_evidence_against_its_service_reads_no_clock_before_the_response() {
    let breaker = CircuitBreaker::recommended("E2B");
    let permit = acquire(&breaker).unwrap();
    end(&breaker, permit, Verdict::unknown());
    let now = Now::new();
    assert!(breaker.check(None, &now).is_none());
    assert!(breaker.try_acquire(&RequestInfo::default(), &now, &mut Deferred::new()).is_ok());
    advance(SECOND).await;
    assert_eq!(now.tick(), Tick::now());
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_closed_until_its_time_is_over() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    queue.trip();
    let opened = Tick::now();
    let Err(No::Closed { until, why }) = queue.acquire() else { panic!("closed") };
    assert_eq!(until, Some(opened + OPEN));
    assert_eq!(why.reason(), Reason::Open { failed: 5, of: 5 });
    let checked = breaker.check(None, &Now::new());
    assert_eq!(checked, Some(No::Closed { until, why }));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_was_forced_open_says_that_the_time_is_not_known() {
    let breaker = CircuitBreaker::classic("E2B");
    breaker.force_open();
    let Err(No::Closed { until, why }) = acquire(&breaker) else { panic!("closed") };
    assert_eq!((until, why.reason(), why.retry_after()), (None, Reason::ForcedOpen, None));
}

#[tokio::test(start_paused = true)]
async fn while_its_probe_is_in_flight_a_call_waits_for_as_long_as_responses_take() {
    let breaker = Config::classic("E2B").successes(2).build().unwrap();
    let queue = Queue::over(&breaker);
    let probe = queue.probe_waited_for().await;
    let now = Tick::now();
    let Err(No::Wait { earliest, look_again, .. }) = queue.acquire() else { panic!("wait") };
    assert_eq!((earliest, look_again), (now, now + LEASE), "nothing is known of responses yet");

    advance(3 * SECOND).await;
    queue.record(probe, &Completion::new(Verdict::success(), now, Tick::now()));
    let _second = queue.permit();
    let now = Tick::now();
    let Err(No::Wait { earliest, look_again, why }) = queue.acquire() else { panic!("wait") };
    assert_eq!((earliest, look_again), (now + 3 * SECOND, now + LEASE));
    assert_eq!(why.retry_after(), Some(3 * SECOND));
    advance(10 * SECOND).await;
    let Err(No::Wait { earliest, .. }) = queue.acquire() else { panic!("wait") };
    assert_eq!(earliest, Tick::now(), "overdue: it may come at any moment");
}

// Subscribers.

#[tokio::test(start_paused = true)]
async fn subscribers_are_notified_that_it_opened_and_that_it_closed() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    for failure in 1..=FAILURES {
        let permit = queue.permit();
        queue.end(permit, Verdict::unknown());
        let told = if failure == FAILURES { (0, 1) } else { (0, 0) };
        assert_eq!(queue.notified(), told, "failure {failure}");
    }
    advance(OPEN).await;
    let probe = queue.permit();
    assert_eq!(queue.notified(), (0, 0), "its time is over: no change was reported");
    queue.end(probe, Verdict::unknown());
    assert_eq!(queue.notified(), (0, 1));
    advance(OPEN).await;
    let probe = queue.permit();
    queue.end(probe, Verdict::success());
    assert_eq!((queue.notified(), breaker.snapshot().state), ((1, 0), State::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_does_notifies_subscribers() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    let opens = [CircuitBreaker::release, CircuitBreaker::reset, CircuitBreaker::force_closed];
    for opens in opens {
        breaker.force_open();
        assert_eq!(queue.notified(), (0, 1));
        opens(&breaker);
        assert_eq!(queue.notified(), (1, 0));
    }
}

/// A way in which the slot of a probe becomes free.
type Freed = fn(&Queue, Permit);

#[tokio::test(start_paused = true)]
async fn every_way_in_which_a_slot_becomes_free_notifies_all_that_share_the_breaker() {
    let ways: [(&str, Freed); 7] = [
        ("not sent", |queue, probe| queue.not_sent(probe)),
        ("rejected below", |queue, probe| queue.end(probe, Verdict::rejected())),
        ("cancelled", |queue, probe| queue.end(probe, Verdict::cancelled())),
        ("success", |queue, probe| queue.end(probe, Verdict::success())),
        ("reset", |queue, _| queue.breaker.reset()),
        ("forced closed", |queue, _| queue.breaker.force_closed()),
        ("forced open and released", |queue, _| {
            queue.breaker.force_open();
            queue.breaker.release();
        }),
    ];
    for (name, free) in ways {
        let breaker = Config::classic("E2B").successes(2).build().unwrap();
        let (queue, other) = (Queue::over(&breaker), Queue::over(&breaker));
        let probe = queue.probe_waited_for().await;
        other.notified();
        free(&queue, probe);
        assert_eq!(other.notified().0, 1, "{name}");
        assert!(other.acquire().is_ok(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_expires_frees_its_slot_at_the_instant_that_was_given() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    let _hung = queue.probe_waited_for().await;
    let Err(No::Wait { look_again, .. }) = queue.acquire() else { panic!("wait") };
    advance(look_again.since(Tick::now())).await;
    let _next = queue.permit();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_not_sent_notifies_only_if_a_call_was_turned_away_meanwhile() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    queue.trip();
    advance(OPEN).await;
    // As a pair does whose other gate says no.
    for _ in 0..10 {
        let probe = queue.permit();
        queue.not_sent(probe);
    }
    assert_eq!(queue.notified(), (0, 0));
    let probe = queue.permit();
    assert!(breaker.check(None, &Now::new()).is_some(), "looking is being turned away, too");
    queue.not_sent(probe);
    assert_eq!(queue.notified(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn while_ramping_a_response_notifies_only_if_a_call_was_turned_away_since() {
    let breaker = Config::classic("E2B").ramp(126).build().unwrap();
    let queue = Queue::over(&breaker);
    let probe = queue.probe_waited_for().await;
    queue.end(probe, Verdict::success());
    queue.notified();
    for _ in 0..50 {
        let permit = queue.permit();
        queue.end(permit, Verdict::success());
    }
    assert_eq!(queue.notified(), (0, 0), "no call was turned away");

    let mut permits = Vec::new();
    while let Ok(permit) = queue.acquire() {
        permits.push(permit);
    }
    for permit in permits {
        queue.end(permit, Verdict::success());
    }
    assert_eq!(queue.notified(), (1, 0), "one call was turned away");
    while breaker.snapshot().at_once.is_some() {
        let permit = queue.permit();
        queue.end(permit, Verdict::success());
    }
    assert_eq!(queue.notified(), (0, 0), "the ramp is over");
}

// Permits.

#[tokio::test(start_paused = true)]
async fn a_permit_from_before_a_reset_changes_nothing_however_it_comes_back() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    let probe = queue.probe_waited_for().await;
    breaker.reset();
    queue.trip();
    advance(OPEN).await;
    let next = queue.permit();
    assert!(queue.is_denied());
    queue.notified();
    not_sent(&breaker, probe);
    assert_eq!(queue.notified(), (0, 0), "no slot became free");
    queue.not_sent(next);
    assert_eq!(queue.notified(), (1, 0));
    let _next = queue.permit();
    assert!(queue.is_denied(), "the new probe keeps its slot");
    assert_eq!(breaker.snapshot().counters.late, 0, "it was never sent");
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_kept_until_the_end_of_a_stream_but_not_a_probe() {
    let (request, mut later) = (RequestInfo::default(), Deferred::new());
    let breaker = CircuitBreaker::classic("E2B");
    let head = || Completion::head(Verdict::success(), Tick::now(), Tick::now());
    for _ in 0..FAILURES {
        let permit = acquire(&breaker).unwrap();
        let permit = breaker.record(&request, permit, &head(), &mut later).expect("it is kept");
        assert_eq!(breaker.snapshot().counters.succeeded, 0, "the head decides nothing");
        end(&breaker, permit, Verdict::unknown());
    }
    assert_eq!(breaker.snapshot().state, State::Open);
    advance(OPEN).await;
    let probe = acquire(&breaker).unwrap();
    assert!(breaker.record(&request, probe, &head(), &mut later).is_none());
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_turned_away_is_counted() {
    let breaker = CircuitBreaker::classic("E2B");
    let queue = Queue::over(&breaker);
    queue.trip();
    for _ in 0..3 {
        assert!(queue.acquire().is_err());
        assert!(breaker.check(None, &Now::new()).is_some(), "looking does not count");
    }
    assert_eq!(breaker.snapshot().counters.rejected, 3);
    breaker.reset();
    assert_eq!(breaker.history().last().unwrap().rejected, 3);
}
