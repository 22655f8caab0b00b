//! Every order in which threads may meet in a room.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use sandtower_core::{Completion, Gate, Operation, RequestInfo, Seed, Take, Tick, Verdict};

use crate::slot::Slot;
use crate::ticket::{Ticket, Turn};
use crate::{AdmissionControl, Config, Quota, QuotaConfig};

const CREATE: Operation = Operation::new(1, "create");
const RESUME: Operation = Operation::new(2, "resume");
const KILL: Operation = Operation::new(3, "kill");
const NOW: Tick = Tick::from_nanos(1_000_000_000);

/// Whether it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A call in line, with its task.
struct Caller<G: Gate> {
    ticket: Ticket<G>,
    woken: Arc<Flag>,
    admitted: bool,
}

impl<G: Gate> Caller<G> {
    fn new(room: &AdmissionControl<G>, operation: Operation) -> Self {
        let ticket = Ticket::new(room.clone(), RequestInfo::new(operation), NOW, None);
        Self { ticket, woken: Arc::new(Flag(AtomicBool::new(false))), admitted: false }
    }

    /// Joins the line, or looks whether it is next.
    fn look(&mut self) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let turn = self.ticket.look(&mut Context::from_waker(&waker), NOW);
        self.admitted |= matches!(turn, Turn::Admitted(_));
    }

    fn is_woken(&self) -> bool {
        !self.admitted && self.woken.0.load(Ordering::SeqCst)
    }
}

/// Lets everyone look who was woken, until nobody is any more; answers how many are admitted.
fn run<G: Gate>(mut callers: Vec<Caller<G>>) -> usize {
    while let Some(caller) = callers.iter_mut().find(|caller| caller.is_woken()) {
        caller.look();
    }
    callers.iter().filter(|caller| caller.admitted).count()
}

fn enter<G: Gate>(room: &AdmissionControl<G>, operation: Operation) -> Slot<G::Token> {
    match room.take(&RequestInfo::new(operation), NOW) {
        Take::Open(slot) => slot,
        _ => panic!("there is a slot"),
    }
}

fn settle<G: Gate>(
    room: &AdmissionControl<G>,
    operation: Operation,
    slot: Slot<G::Token>,
    verdict: Verdict,
) {
    room.settle(&RequestInfo::new(operation), slot, &Completion::new(verdict, NOW, NOW));
}

fn room_of_one() -> AdmissionControl {
    AdmissionControl::new(Config::new("test").concurrency(1)).unwrap()
}

/// All slots of its quota are in use.
fn full_room() -> AdmissionControl<Quota> {
    let quota = QuotaConfig::new("test").takes(CREATE).takes(RESUME).releases(KILL);
    let quota = Quota::new(quota.seed(Seed::fixed(1))).unwrap();
    let room = AdmissionControl::with_gates(Config::new("test"), quota).unwrap();
    for verdict in [Verdict::success(), Verdict::exhausted()] {
        let slot = enter(&room, CREATE);
        settle(&room, CREATE, slot, verdict);
    }
    room
}

#[test]
fn a_slot_that_frees_while_the_next_in_line_goes_away_wakes_the_one_behind() {
    loom::model(|| {
        let room = room_of_one();
        let slot = enter(&room, CREATE);
        let [mut goes, mut stays] = [(); 2].map(|()| Caller::new(&room, CREATE));
        goes.look();
        stays.look();
        let thread = thread::spawn(move || drop(goes));
        settle(&room, CREATE, slot, Verdict::success());
        thread.join().unwrap();
        assert_eq!(run(vec![stays]), 1);
    });
}

#[test]
fn a_newcomer_never_takes_the_slot_of_who_waits() {
    loom::model(|| {
        let room = room_of_one();
        let slot = enter(&room, CREATE);
        let mut waits = Caller::new(&room, CREATE);
        waits.look();
        let other = room.clone();
        let thread = thread::spawn(move || other.enter(&RequestInfo::new(CREATE), NOW).is_none());
        settle(&room, CREATE, slot, Verdict::success());
        assert!(thread.join().unwrap(), "a newcomer was let through");
        assert_eq!(run(vec![waits]), 1);
    });
}

#[test]
fn who_joins_while_a_slot_frees_is_not_left_asleep() {
    loom::model(|| {
        let room = room_of_one();
        let slot = enter(&room, CREATE);
        let mut joins = Caller::new(&room, CREATE);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        settle(&room, CREATE, slot, Verdict::success());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn a_release_that_a_gate_tells_of_while_somebody_joins_is_not_lost() {
    loom::model(|| {
        let room = full_room();
        let mut joins = Caller::new(&room, CREATE);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        room.gates().release(1);
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}

#[test]
fn a_kill_lets_one_go_of_those_who_wait_and_join_in_two_lanes() {
    loom::model(|| {
        let room = full_room();
        let kill = enter(&room, KILL);
        let mut waits = Caller::new(&room, CREATE);
        waits.look();
        let mut joins = Caller::new(&room, RESUME);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        settle(&room, KILL, kill, Verdict::success());
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![waits, joined]), 1);
    });
}

#[test]
fn a_slot_that_is_given_back_while_somebody_joins_in_another_lane_is_not_lost() {
    loom::model(|| {
        let room = full_room();
        room.gates().release(1);
        let slot = enter(&room, CREATE);
        let mut joins = Caller::new(&room, RESUME);
        let thread = thread::spawn(move || {
            joins.look();
            joins
        });
        room.give_back(&RequestInfo::new(CREATE), slot);
        let joined = thread.join().unwrap();
        assert_eq!(run(vec![joined]), 1);
    });
}
