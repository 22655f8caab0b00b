//! Each gate that is made of gates passes every method on: shown with a gate that records them all.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what helps a test fails it by a panic"
)]

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Operation, Reason, Rejection, RequestInfo, Stage,
    Subscriber, Tick, Verdict,
};

/// Writes down each call with its arguments, and says what the test tells it to.
#[derive(Clone, Default)]
struct Recorder {
    calls: Arc<Mutex<Vec<String>>>,
    says: Arc<Mutex<Option<No>>>,
    keeps: bool,
}

impl Recorder {
    fn keeping() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn say(&self, no: No) {
        *self.says.lock().unwrap() = Some(no);
    }

    fn no(&self) -> Option<No> {
        self.says.lock().unwrap().clone()
    }
}

impl Gate for Recorder {
    type Permit = u32;

    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        self.note(format!("check {:?} {:?}", request.map(|info| info.operation), now.tick()));
        self.no()
    }

    fn try_acquire(&self, info: &RequestInfo, now: &Now, later: &mut Deferred) -> Result<u32, No> {
        self.note(format!("try_acquire {} {:?} {later:?}", info.operation, now.tick()));
        self.no().map_or(Ok(7), Err)
    }

    fn record(
        &self,
        info: &RequestInfo,
        permit: u32,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<u32> {
        let Completion { stage, verdict, sent, .. } = done;
        let (outcome, now) = (verdict.outcome, done.now());
        self.note(format!(
            "record {} {permit} {stage:?} {outcome} {sent:?} {now:?} {later:?}",
            info.operation
        ));
        (self.keeps && *stage == Stage::Head).then_some(permit + 1)
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.note(format!("not_ready {} {:?} {later:?}", verdict.outcome, now.tick()));
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.note(format!("subscribe {}", subscriber.strong_count()));
    }
}

struct Silent;

impl Subscriber for Silent {
    fn changed(&self, _change: Change) {}
}

fn info() -> RequestInfo {
    RequestInfo::new(Operation::new(3, "op"))
}

fn at(second: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(second)
}

fn wait(earliest: u64, look_again: u64, reason: Reason) -> No {
    let why = Rejection::new("gate", "a", reason);
    No::Wait { earliest: at(earliest), look_again: at(look_again), why }
}

fn closed() -> No {
    No::Closed { until: Some(at(9)), why: Rejection::new("gate", "b", Reason::Draining) }
}

/// What a gate sees of every method, each called twice over: with and without a stream's head.
fn exercise<G: Gate>(gate: &G) {
    let (info, now) = (info(), Now::at(at(1)));
    // What is handed on is the very argument: two actions are in it.
    let mut later = Deferred::new();
    later.run(|| {});
    later.run(|| {});
    let _ = gate.check(None, &now);
    let _ = gate.check(Some(&info), &now);
    let permit = gate.try_acquire(&info, &now, &mut later).expect("it is open");
    let head = Completion::head(Verdict::success(), at(1), at(2));
    let end = Completion::new(Verdict::unknown(), at(1), at(3));
    if let Some(kept) = gate.record(&info, permit, &head, &mut later) {
        assert!(gate.record(&info, kept, &end, &mut later).is_none());
    }
    let permit = gate.try_acquire(&info, &now, &mut later).expect("it is open");
    gate.record(&info, permit, &Completion::not_sent(at(4)), &mut later);
    gate.not_ready(&Verdict::permanent(), &now, &mut later);
    let silent: Arc<dyn Subscriber> = Arc::new(Silent);
    gate.subscribe(Arc::downgrade(&silent));
}

/// What the gate itself sees.
fn expected(keeps: bool) -> Vec<String> {
    let gate = if keeps { Recorder::keeping() } else { Recorder::default() };
    exercise(&gate);
    let calls = gate.calls();
    assert_eq!(calls.len(), if keeps { 9 } else { 8 });
    calls
}

#[test]
fn every_wrapper_passes_every_method_on() {
    for keeps in [false, true] {
        let recorder = || if keeps { Recorder::keeping() } else { Recorder::default() };
        let (gate, other) = (recorder(), recorder());
        exercise(&Arc::new(gate.clone()));
        assert_eq!(gate.calls(), expected(keeps), "Arc");
        exercise(&Some(gate.clone()));
        assert_eq!(gate.calls(), expected(keeps), "Option");
        exercise(&Some(Arc::new(Some(gate.clone()))));
        assert_eq!(gate.calls(), expected(keeps), "nested");
        exercise(&(gate.clone(), other.clone()));
        assert_eq!(gate.calls(), expected(keeps), "first of a pair");
        assert_eq!(other.calls(), expected(keeps), "second of a pair");
        exercise(&(Some((other.clone(), ())), Arc::new((None::<Recorder>, gate.clone()))));
        assert_eq!(gate.calls(), expected(keeps), "deep in pairs");
        assert_eq!(other.calls(), expected(keeps), "deep in pairs");
    }
}

#[test]
fn what_is_missing_is_always_open() {
    let none: Option<Recorder> = None;
    exercise(&none);
    exercise(&());
    assert!(none.check(None, &Now::new()).is_none());
}

#[test]
fn of_a_pair_each_keeps_its_permit_to_the_end_of_a_stream_or_not() {
    let (keeping, other) = (Recorder::keeping(), Recorder::default());
    for swapped in [false, true] {
        if swapped {
            exercise(&(other.clone(), keeping.clone()));
        } else {
            exercise(&(keeping.clone(), other.clone()));
        }
        assert_eq!((keeping.calls(), other.calls()), (expected(true), expected(false)));
    }
}

#[test]
fn of_a_pair_of_gates_both_permits_are_acquired_or_none() {
    let (first, second) = (Recorder::default(), Recorder::default());
    second.say(closed());
    let both = (first.clone(), second.clone());
    let no = both.try_acquire(&info(), &Now::at(at(1)), &mut Deferred::new());
    assert_eq!(no.err(), Some(closed()));
    let calls = first.calls();
    assert!(calls[0].starts_with("try_acquire") && calls[1].contains("NotSent"), "{calls:?}");
    assert_eq!(calls.len(), 2);
}

#[test]
fn a_caller_does_not_wait_for_one_gate_while_the_other_is_closed() {
    let (slow, shut) = (Recorder::default(), Recorder::default());
    slow.say(wait(2, 3, Reason::Throttled));
    shut.say(closed());
    let now = Now::at(at(1));
    let acquire = |no: Option<No>| assert_eq!(no, Some(closed()));
    acquire((slow.clone(), shut.clone()).try_acquire(&info(), &now, &mut Deferred::new()).err());
    acquire((slow.clone(), shut.clone()).check(None, &now));
    acquire((shut.clone(), slow.clone()).check(None, &now));
    acquire((slow.clone(), (slow.clone(), Some(shut.clone()))).check(Some(&info()), &now));
    let nested = (slow.clone(), (slow, Some(shut)));
    acquire(nested.try_acquire(&info(), &now, &mut Deferred::new()).err());
}

#[test]
fn of_two_waits_the_longer_counts_in_both_respects() {
    let (first, second) = (Recorder::default(), Recorder::default());
    first.say(wait(2, 60, Reason::Probing));
    second.say(wait(5, 6, Reason::Throttled));
    for (a, b) in [(&first, &second), (&second, &first)] {
        let pair = (a.clone(), b.clone());
        let no = pair.check(None, &Now::at(at(1))).unwrap();
        let No::Wait { earliest, look_again, why } = no else { panic!("{no:?}") };
        assert_eq!((earliest, look_again), (at(5), at(60)));
        assert_eq!(why.reason(), Reason::Probing, "the gate that is checked again last is named");
    }
}
