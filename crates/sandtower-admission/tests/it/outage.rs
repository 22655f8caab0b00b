//! Calls that wait for a closed gate to open.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sandtower_admission::{AdmissionControl, AdmissionLayer, Config};
use sandtower_core::{
    Completion, Deferred, Gate, No, Now, Priority, Reason, Rejection, RequestInfo, Subscriber,
    Tick, Verdict,
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
