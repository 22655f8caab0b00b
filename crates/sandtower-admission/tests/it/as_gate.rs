//! Admission control as a gate of another layer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sandtower_admission::{AdmissionControl, Config, Rate};
use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Operation, Reason, RequestInfo, Stage, Subscriber,
    Tick, Verdict,
};

use crate::support::Pace;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const READ: Operation = Operation::new(2, "file_read");
const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Tick {
    Tick::ZERO + 1_000 * SECOND + seconds * SECOND
}

fn control(config: Config) -> AdmissionControl {
    AdmissionControl::new(config).unwrap()
}

#[expect(clippy::result_large_err, reason = "as the trait has it")]
fn acquire<G: Gate>(
    control: &AdmissionControl<G>,
    operation: Operation,
    seconds: u32,
) -> Result<<AdmissionControl<G> as Gate>::Permit, No> {
    let info = RequestInfo::new(operation);
    control.try_acquire(&info, &Now::at(at(seconds)), &mut Deferred::new())
}

fn in_flight<G: Gate>(control: &AdmissionControl<G>) -> u32 {
    control.snapshot().queues.iter().map(|queue| queue.in_flight).sum()
}

/// Keeps its permit until the end of a stream, and remembers what was recorded.
#[derive(Default)]
struct ToTheEnd {
    recorded: Mutex<Vec<Stage>>,
    not_ready: AtomicU32,
}

impl Gate for ToTheEnd {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, _: &Now) -> Option<No> {
        None
    }

    fn try_acquire(&self, _: &RequestInfo, _: &Now, _: &mut Deferred) -> Result<(), No> {
        Ok(())
    }

    fn record(&self, _: &RequestInfo, (): (), done: &Completion, _: &mut Deferred) -> Option<()> {
        self.recorded.lock().unwrap().push(done.stage);
        (done.stage == Stage::Head).then_some(())
    }

    fn not_ready(&self, _: &Verdict, _: &Now, _: &mut Deferred) {
        self.not_ready.fetch_add(1, Ordering::Relaxed);
    }

    fn subscribe(&self, _: Weak<dyn Subscriber>) {}
}

/// Records the head of a stream, then its end: the calls in flight after each, and what was kept.
fn stream<G: Gate>(control: &AdmissionControl<G>) -> [(u32, bool); 2] {
    let (info, success) = (RequestInfo::new(CREATE), Verdict::success());
    let slot = acquire(control, CREATE, 0).unwrap();
    let head = Completion::head(success, at(0), at(1));
    let kept = control.record(&info, slot, &head, &mut Deferred::new());
    let at_head = (in_flight(control), kept.is_some());
    let end = Completion::new(success, at(0), at(2));
    let kept = kept.and_then(|slot| control.record(&info, slot, &end, &mut Deferred::new()));
    [at_head, (in_flight(control), kept.is_some())]
}

#[test]
fn a_slot_is_free_at_the_head_of_a_stream_or_at_its_end() {
    let config = Config::new("test").concurrency(2);
    for (to_the_end, expected) in
        [(false, [(1, false), (1, false)]), (true, [(2, true), (1, false)])]
    {
        let control = control(config.clone().slots_to_the_end(to_the_end));
        let _other = acquire(&control, READ, 0).unwrap();
        assert_eq!(stream(&control), expected);
    }
}

#[test]
fn its_gates_hear_of_the_end_of_a_stream_wherever_the_slot_is_free() {
    let config = Config::new("test").concurrency(2);
    for (to_the_end, at_head) in [(false, (1, true)), (true, (2, true))] {
        let config = config.clone().slots_to_the_end(to_the_end);
        let control = AdmissionControl::with_gates(config, ToTheEnd::default()).unwrap();
        let _other = acquire(&control, READ, 0).unwrap();
        assert_eq!(stream(&control), [at_head, (1, false)]);
        assert_eq!(*control.gates().recorded.lock().unwrap(), [Stage::Head, Stage::End]);
        control.not_ready(&Verdict::unknown(), &Now::at(at(0)), &mut Deferred::new());
        assert_eq!(control.gates().not_ready.load(Ordering::Relaxed), 1);
    }
}

/// The reason, the earliest instant and when to look again; `None` for a closed gate.
fn recorded(no: &No) -> (Reason, Option<(Tick, Tick)>) {
    let reason = no.why().reason();
    match no {
        No::Wait { earliest, look_again, .. } => (reason, Some((*earliest, *look_again))),
        No::Closed { .. } => (reason, None),
    }
}

#[test]
fn it_says_which_limit_is_reached_and_from_when_on_another_call_may_go() {
    let full = Reason::Full { limit: 1 };
    let minute = Rate::pace("a minute", 60 * SECOND);
    for (config, reason, times) in [
        (Config::new("test").concurrency(1), full, (at(1), Tick::MAX)),
        (Config::new("test").concurrency_total(1), full, (at(1), Tick::MAX)),
        (Config::new("test").concurrency_per_tenant(1), full, (at(1), Tick::MAX)),
        (
            Config::new("test").rate(minute),
            Reason::OverLimit { count: 1, limit: 1 },
            (at(60), at(60)),
        ),
    ] {
        let control = control(config);
        let slot = acquire(&control, CREATE, 0).unwrap();
        let no = acquire(&control, CREATE, 1).unwrap_err();
        assert_eq!(recorded(&no), (reason, Some(times)));
        let taken = (in_flight(&control), control.snapshot().in_flight);
        assert_eq!(taken, (1, 1), "a call that was rejected took a slot");
        let done = Completion::new(Verdict::success(), at(0), at(2));
        control.record(&RequestInfo::new(CREATE), slot, &done, &mut Deferred::new());
        assert_eq!((in_flight(&control), control.snapshot().in_flight), (0, 0));
        assert!(acquire(&control, CREATE, 60).is_ok());
    }
}

#[test]
fn a_closed_gate_says_more_than_a_slot_that_is_taken_and_a_shutdown_more_than_both() {
    let pace = Pace::new(SECOND);
    let config = Config::new("test").concurrency(1).admit_during_shutdown(READ);
    let control = AdmissionControl::with_gates(config, Arc::clone(&pace)).unwrap();
    let check = |operation| {
        let no = control.check(Some(&RequestInfo::new(operation)), &Now::at(at(5)));
        no.map(|no| no.why().reason())
    };
    assert_eq!(check(CREATE), None);
    let _slot = acquire(&control, CREATE, 0).unwrap();
    assert_eq!([CREATE, READ].map(check), [Some(Reason::Full { limit: 1 }), None]);
    pace.shut();
    assert_eq!([CREATE, READ].map(check), [Some(Reason::ForcedOpen); 2]);
    assert!(matches!(control.check(None, &Now::at(at(5))), Some(No::Closed { .. })));
    let _shutdown = control.begin_shutdown();
    assert_eq!([CREATE, READ].map(check), [Some(Reason::Draining), Some(Reason::ForcedOpen)]);
    assert_eq!(recorded(&acquire(&control, CREATE, 5).unwrap_err()), (Reason::Draining, None));
    assert_eq!(recorded(&acquire(&control, READ, 5).unwrap_err()), (Reason::ForcedOpen, None));
}

struct Notified(AtomicU32);

impl Subscriber for Notified {
    fn changed(&self, change: Change) {
        assert_eq!(change, Change::Opened);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn callers_that_it_turned_away_are_notified_once_of_a_free_slot() {
    for config in [Config::new("test").concurrency(1), Config::new("test").concurrency_total(1)] {
        let control = control(config);
        let notified = Arc::new(Notified(AtomicU32::new(0)));
        let weak = Arc::downgrade(&notified);
        control.subscribe(weak);
        let info = RequestInfo::new(CREATE);
        let end = |turned_away: bool| {
            let slot = acquire(&control, CREATE, 0).unwrap();
            if turned_away {
                acquire(&control, CREATE, 0).unwrap_err();
            }
            let done = Completion::new(Verdict::success(), at(0), at(1));
            control.record(&info, slot, &done, &mut Deferred::new());
            notified.0.load(Ordering::Relaxed)
        };
        assert_eq!([false, true, false, true].map(end), [0, 1, 1, 2]);
    }
}
