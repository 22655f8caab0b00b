//! Callers that wait for a slot, as admission control has them wait: until they are notified of a change
//! or until the instant to look again, and not beyond their deadline.

use std::{sync::Arc, sync::Weak, time::Duration};

use sandtower_circuit_breaker::{CircuitBreaker, Config, Trip};
use sandtower_core::{
    Change, Deferred, Gate, Guard, No, Now, Rejection, RequestInfo, Subscriber, Tick, Verdict,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::support::{end, pass};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(61);

/// Wakes the callers of one queue.
struct Woken(Notify);

impl Subscriber for Woken {
    fn changed(&self, change: Change) {
        if change == Change::Opened {
            self.0.notify_waiters();
        }
    }
}

#[derive(Clone)]
struct Queue {
    breaker: CircuitBreaker,
    woken: Arc<Woken>,
}

impl Queue {
    fn over(breaker: &CircuitBreaker) -> Self {
        let woken = Arc::new(Woken(Notify::new()));
        let weak: Weak<Woken> = Arc::downgrade(&woken);
        breaker.subscribe(weak);
        Self { breaker: breaker.clone(), woken }
    }

    /// Waits for a permit, then for a response.
    async fn call(&self, patience: Duration, takes: Duration) -> Result<(), Rejection> {
        let deadline = Tick::now() + patience;
        let request = RequestInfo::default();
        loop {
            let told = self.woken.0.notified();
            let asked = {
                let mut later = Deferred::new();
                self.breaker.try_acquire(&request, &Now::new(), &mut later)
            };
            let (earliest, look_again, why) = match asked {
                Ok(permit) => {
                    let mut guard = Guard::new(self.breaker.clone(), request, permit);
                    guard.sent(Tick::now());
                    sleep(takes).await;
                    guard.record(Verdict::success());
                    return Ok(());
                }
                Err(No::Wait { earliest, look_again, why }) => (earliest, look_again, why),
                Err(No::Closed { until, why }) => {
                    let Some(until) = until else { return Err(why) };
                    (until, until, why)
                }
            };
            if earliest > deadline {
                return Err(why);
            }
            let _ = timeout(look_again.min(deadline).since(Tick::now()), told).await;
            if Tick::now() >= deadline {
                return Err(why);
            }
        }
    }

    /// How many of `callers` that come at once are served.
    async fn served(&self, callers: usize, patience: Duration, takes: Duration) -> usize {
        let calls: Vec<_> = (0..callers)
            .map(|_| {
                let queue = self.clone();
                tokio::spawn(async move { queue.call(patience, takes).await })
            })
            .collect();
        let mut served = 0;
        for call in calls {
            served += usize::from(call.await.unwrap().is_ok());
        }
        served
    }
}

/// A breaker that has just opened.
fn open() -> CircuitBreaker {
    let config = Config::recommended("E2B").trip(Trip::ConsecutiveFailures(1)).lease(LEASE);
    let breaker = config.build().unwrap();
    assert!(pass(&breaker, &RequestInfo::default(), Verdict::unknown()));
    breaker
}

#[tokio::test(start_paused = true)]
async fn thirty_callers_that_wait_for_the_probe_are_all_served() {
    for takes in [50, 1_000, 4_000].map(Duration::from_millis) {
        let queue = Queue::over(&open());
        assert_eq!(queue.served(30, 30 * SECOND, takes).await, 30, "responses take {takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_callers_that_come_while_it_is_ramping_are_all_served() {
    let breaker = open();
    let queue = Queue::over(&breaker);
    sleep(SECOND).await;
    let response = Duration::from_millis(50);
    queue.call(SECOND, response).await.unwrap();
    assert_eq!(breaker.snapshot().at_once, Some(2));
    assert_eq!(queue.served(10, 30 * SECOND, response).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_cannot_wait_for_a_response_is_rejected_at_once() {
    let queue = Queue::over(&open());
    sleep(SECOND).await;
    queue.call(SECOND, 4 * SECOND).await.unwrap();
    let other = queue.clone();
    let full = tokio::spawn(async move { other.served(2, SECOND, 4 * SECOND).await });
    sleep(Duration::from_millis(1)).await;
    let before = Tick::now();
    assert!(queue.call(SECOND, 4 * SECOND).await.is_err());
    assert_eq!(Tick::now(), before);
    assert_eq!(full.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_of_another_queue_do_not_wait_for_a_lease_that_was_given_back() {
    let breaker = open();
    let (one, other) = (Queue::over(&breaker), Queue::over(&breaker));
    sleep(SECOND).await;
    let probe = one.breaker.try_acquire(&RequestInfo::default(), &Now::new(), &mut Deferred::new());
    let waiting = tokio::spawn(async move { other.call(30 * SECOND, SECOND).await });
    sleep(SECOND).await;
    drop(Guard::new(breaker.clone(), RequestInfo::default(), probe.unwrap()));
    let before = Tick::now();
    waiting.await.unwrap().unwrap();
    assert_eq!(Tick::now().since(before), SECOND, "it was sent at once");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_delays_callers_until_its_lease_expires_and_no_longer() {
    let breaker = open();
    let queue = Queue::over(&breaker);
    sleep(SECOND).await;
    let hung = breaker.try_acquire(&RequestInfo::default(), &Now::new(), &mut Deferred::new());
    assert_eq!(queue.served(30, 2 * LEASE, SECOND).await, 30);
    end(&breaker, hung.unwrap(), Verdict::unknown());
    assert_eq!(breaker.snapshot().counters.trips, 1, "it is void");
}
