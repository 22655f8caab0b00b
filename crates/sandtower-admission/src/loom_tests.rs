//! All interleavings of threads that share an admission control.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use sandtower_core::{
    Completion, Deferred, Gate, Now, Operation, RequestInfo, Seed, Tick, Verdict,
};

use crate::slot::Slot;
use crate::ticket::{Look, Ticket};
use crate::{AdmissionControl, Config, Quota, QuotaConfig};

const CREATE: Operation = Operation::new(1, "create");
const RESUME: Operation = Operation::new(2, "resume");
const KILL: Operation = Operation::new(3, "kill");
const NOW: Tick = Tick::from_nanos(1_000_000_000);

/// Whether the task was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A queued call and its task.
struct Caller<G: Gate> {
    ticket: Ticket<G>,
    woken: Arc<Flag>,
    admitted: bool,
}

impl<G: Gate> Caller<G> {
    fn arrived(control: &AdmissionControl<G>, at: Tick) -> Self {
        Self::of(control, RequestInfo::new(CREATE).arrived(Some(at)))
    }

    fn new(control: &AdmissionControl<G>, operation: Operation) -> Self {
        Self::of(control, RequestInfo::new(operation))
    }

    fn of(control: &AdmissionControl<G>, info: RequestInfo) -> Self {
        let ticket = Ticket::new(control.clone(), info, NOW, None);
        Self { ticket, woken: Arc::new(Flag(AtomicBool::new(false))), admitted: false }
    }

    /// Joins the queue, or checks whether it is next.
    fn look(&mut self) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let look = self.ticket.look(&waker, &Now::at(NOW));
        self.admitted |= matches!(look, Look::Admitted(_));
    }

    fn is_woken(&self) -> bool {
        !self.admitted && self.woken.0.load(Ordering::SeqCst)
    }
}

/// Polls woken callers until none is woken. Returns how many were admitted.
fn run<G: Gate>(mut callers: Vec<Caller<G>>) -> usize {
    while let Some(caller) = callers.iter_mut().find(|caller| caller.is_woken()) {
        caller.look();
    }
    callers.iter().filter(|caller| caller.admitted).count()
}

fn enter<G: Gate>(control: &AdmissionControl<G>, operation: Operation) -> Slot<G::Permit> {
    let acquired =
        control.try_acquire(&RequestInfo::new(operation), &Now::at(NOW), &mut Deferred::new());
    acquired.expect("there is a slot")
}

fn record<G: Gate>(
    control: &AdmissionControl<G>,
    operation: Operation,
    slot: Slot<G::Permit>,
    verdict: Verdict,
) {
    let done = Completion::new(verdict, NOW, NOW);
    control.record(&RequestInfo::new(operation), slot, &done, &mut Deferred::new());
}

fn control_of_one() -> AdmissionControl {
    AdmissionControl::new(Config::new("test").concurrency(1)).unwrap()
}

/// All slots of its quota are in use.
fn full_control() -> AdmissionControl<Quota> {
    let quota = QuotaConfig::new("test").takes(CREATE).takes(RESUME).releases(KILL);
    let quota = Quota::new(quota.seed(Seed::fixed(1))).unwrap();
    let control = AdmissionControl::with_gates(Config::new("test"), quota).unwrap();
    for verdict in [Verdict::success(), Verdict::exhausted()] {
        let slot = enter(&control, CREATE);
        record(&control, CREATE, slot, verdict);
    }
    control
}

#[test]
fn a_slot_that_is_freed_while_the_next_call_leaves_wakes_the_call_behind_it() {
    loom::model(|| {
        let control = control_of_one();
        let slot = enter(&control, CREATE);
        let [mut goes, mut stays] = [(); 2].map(|()| Caller::new(&control, CREATE));
        goes.look();
        stays.look();
        let thread = thread::spawn(move || drop(goes));
        record(&control, CREATE, slot, Verdict::success());
        thread.join().unwrap();
        assert_eq!(run(vec![stays]), 1);
    });
}

#[test]
fn a_new_call_never_takes_the_slot_of_a_queued_call() {
    loom::model(|| {
        let control = control_of_one();
        let slot = enter(&control, CREATE);
        let mut waits = Caller::new(&control, CREATE);
        waits.look();
        let other = control.clone();
        let thread = thread::spawn(move || {
            let mut later = Deferred::new();
            other.enter(&RequestInfo::new(CREATE), &Now::at(NOW), &mut later).is_none()
        });
        record(&control, CREATE, slot, Verdict::success());
        assert!(thread.join().unwrap(), "a new call was admitted");
        assert_eq!(run(vec![waits]), 1);
    });
}

#[test]
fn a_call_that_joins_while_a_slot_is_freed_is_woken() {
    loom::model(|| {
        let control = control_of_one();
        let slot = enter(&control, CREATE);
        let mut joins = Caller::new(&control, CREATE);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        record(&control, CREATE, slot, Verdict::success());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn a_release_that_a_gate_reports_while_a_call_joins_is_not_lost() {
    loom::model(|| {
        let control = full_control();
        let mut joins = Caller::new(&control, CREATE);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        control.gates().release(1);
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn a_kill_admits_one_of_a_queued_call_and_a_call_that_joins_another_queue() {
    loom::model(|| {
        let control = full_control();
        let kill = enter(&control, KILL);
        let mut waits = Caller::new(&control, CREATE);
        waits.look();
        let mut joins = Caller::new(&control, RESUME);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        record(&control, KILL, kill, Verdict::success());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![waits, joined]), 1);
    });
}

#[test]
fn a_slot_that_is_released_while_a_call_joins_another_queue_is_not_lost() {
    loom::model(|| {
        let control = full_control();
        control.gates().release(1);
        let slot = enter(&control, CREATE);
        let mut joins = Caller::new(&control, RESUME);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        let done = Completion::not_sent(NOW);
        control.record(&RequestInfo::new(CREATE), slot, &done, &mut Deferred::new());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn an_attempt_that_returns_to_the_front_while_a_slot_is_freed_strands_no_call() {
    loom::model(|| {
        let control = control_of_one();
        let slot = enter(&control, CREATE);
        let mut waits = Caller::new(&control, CREATE);
        waits.look();
        let mut back = Caller::arrived(&control, Tick::ZERO);
        let thread = thread::spawn(move || {
            back.look();
            back
        });
        record(&control, CREATE, slot, Verdict::success());
        let back = thread.join().unwrap();
        assert_eq!(run(vec![waits, back]), 1);
    });
}

/// One call in flight of all operations.
fn control_with_a_total() -> AdmissionControl {
    AdmissionControl::new(Config::new("test").concurrency_total(1)).unwrap()
}

#[test]
fn a_slot_of_the_total_that_frees_while_a_call_joins_another_queue_is_not_lost() {
    loom::model(|| {
        let control = control_with_a_total();
        let slot = enter(&control, CREATE);
        let mut joins = Caller::new(&control, RESUME);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        record(&control, CREATE, slot, Verdict::success());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn a_slot_of_a_tenant_that_frees_while_its_next_call_leaves_wakes_the_one_behind() {
    loom::model(|| {
        let config = Config::new("test").concurrency_per_tenant(1);
        let control = AdmissionControl::new(config).unwrap();
        let slot = enter(&control, CREATE);
        let [mut leaves, mut stays] = [(); 2].map(|()| Caller::new(&control, RESUME));
        leaves.look();
        stays.look();
        let thread = thread::spawn(move || drop(leaves));
        record(&control, CREATE, slot, Verdict::success());
        thread.join().unwrap();
        assert_eq!(run(vec![stays]), 1);
    });
}

#[test]
fn a_call_that_makes_room_while_a_slot_frees_strands_nothing() {
    loom::model(|| {
        let control = AdmissionControl::new(Config::new("test").concurrency(1).queue(1)).unwrap();
        let slot = enter(&control, CREATE);
        let low = RequestInfo::new(CREATE).priority(sandtower_core::Priority::Background);
        let mut low = Caller::of(&control, low);
        low.look();
        let mut high = Caller::new(&control, CREATE);
        let thread = thread::spawn(move || {
            high.look();
            high
        });
        record(&control, CREATE, slot, Verdict::success());
        let high = thread.join().unwrap();
        assert!(run(vec![low, high]) >= 1);
    });
}
