//! Calls that wait for a closed gate to open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sandtower_admission::{AdmissionControl, AdmissionLayer, Config};
use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Priority, Reason, Rejection, RequestInfo,
    Subscriber, Subscribers, Tick, Verdict, find,
};
use sandtower_testkit::{Answer, Mock};
use tower::{Layer, Service};

use crate::support::{Literal, Pace};

const SECOND: Duration = Duration::from_secs(1);

/// A gate that is closed until an instant, and then admits one call per 100 ms.
struct Outage {
    until: Tick,
    pace: Arc<Pace>,
    acquired: Mutex<Vec<Tick>>,
}

impl Gate for Outage {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, now: &Now) -> Option<No> {
        let why = Rejection::new("breaker", "test", Reason::ForcedOpen);
        (now.tick() < self.until).then_some(No::Closed { until: Some(self.until), why })
    }

    fn try_acquire(&self, info: &RequestInfo, now: &Now, later: &mut Deferred) -> Result<(), No> {
        self.check(None, now).map_or(Ok(()), Err)?;
        self.pace.try_acquire(info, now, later)?;
        self.acquired.lock().unwrap().push(now.tick());
        Ok(())
    }

    fn record(&self, _: &RequestInfo, (): (), _: &Completion, _: &mut Deferred) -> Option<()> {
        None
    }

    fn not_ready(&self, _: &Verdict, _: &Now, _: &mut Deferred) {}

    fn subscribe(&self, _: Weak<dyn Subscriber>) {}
}

#[tokio::test(start_paused = true)]
async fn calls_wait_out_an_outage_if_they_are_to_and_are_rejected_at_once_if_not() {
    for hold in [true, false] {
        let start = Tick::now();
        let until = start + 20 * SECOND;
        let pace = Pace::new(SECOND / 10);
        let gate = Arc::new(Outage { until, pace, acquired: Mutex::default() });
        let config = Config::new("test").hold_through_outage(hold.then_some(Priority::Interactive));
        let without_queue =
            AdmissionControl::with_gates(config.clone().queue(0), Arc::clone(&gate)).unwrap();
        assert!(!without_queue.holds_through_outage(&RequestInfo::default()));
        let (mock, _handle) =
            Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call).after(SECOND));
        let layer = AdmissionLayer::with_gates(config, Arc::clone(&gate)).unwrap();
        let layer = layer.classify(Literal);
        let (control, mut service) = (layer.control().clone(), layer.layer(mock));
        assert_eq!(control.holds_through_outage(&RequestInfo::default()), hold);
        let deadline = |seconds| RequestInfo::default().deadline(Some(start + seconds * SECOND));
        let patient: Vec<_> = (0..30).map(|_| tokio::spawn(service.call(deadline(60)))).collect();
        let hasty = service.call(deadline(10)).await;
        assert!(hasty.is_err(), "it waited through the outage");
        assert_eq!(Tick::now(), start);
        let mut served = 0;
        for call in patient {
            served += u32::from(call.await.unwrap().is_ok());
        }
        assert_eq!(served, if hold { 30 } else { 0 });
        let acquired = gate.acquired.lock().unwrap();
        assert!(acquired.iter().all(|at| *at >= until), "an attempt was spent in the outage");
    }
}

/// A closed gate whose probe is in flight.
#[derive(Default)]
struct Probing {
    is_over: AtomicBool,
    subscribers: Arc<Subscribers>,
}

impl Gate for Probing {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, now: &Now) -> Option<No> {
        let why = Rejection::new("breaker", "test", Reason::Probing);
        let (earliest, look_again) = (now.tick(), now.tick() + 60 * SECOND);
        let is_over = self.is_over.load(Ordering::Relaxed);
        (!is_over).then_some(No::Wait { earliest, look_again, why })
    }

    fn try_acquire(&self, _: &RequestInfo, now: &Now, _: &mut Deferred) -> Result<(), No> {
        self.check(None, now).map_or(Ok(()), Err)
    }

    fn record(&self, _: &RequestInfo, (): (), _: &Completion, _: &mut Deferred) -> Option<()> {
        None
    }

    fn not_ready(&self, _: &Verdict, _: &Now, _: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.add(subscriber);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_held_waits_a_moment_for_a_probe_in_flight() {
    const MOMENT: Duration = Duration::from_millis(50);
    let gate = Arc::new(Probing::default());
    let (mock, _handle) = Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call));
    let layer = AdmissionLayer::with_gates(Config::new("test"), Arc::clone(&gate)).unwrap();
    let mut service = layer.classify(Literal).layer(mock);
    tokio::time::sleep(10 * SECOND).await;

    let start = Tick::now();
    let error = service.call(RequestInfo::default()).await.unwrap_err();
    assert_eq!(find::<Rejection>(&*error).unwrap().reason(), Reason::Probing);
    assert_eq!(Tick::now().since(start), MOMENT);

    let start = Tick::now();
    let held = tokio::spawn(service.call(RequestInfo::default().priority(Priority::Batch)));
    tokio::time::sleep(2 * MOMENT).await;
    let waits = tokio::spawn(service.call(RequestInfo::default()));
    tokio::time::sleep(MOMENT / 2).await;
    assert!(!held.is_finished() && !waits.is_finished());
    gate.is_over.store(true, Ordering::Relaxed);
    gate.subscribers.notify(Change::Opened);
    waits.await.unwrap().unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(Tick::now().since(start), 2 * MOMENT + MOMENT / 2);
}
