//! What a gate learns from the guard of its permit.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::sync::{Arc, Mutex, Weak};

use sandtower_core::{
    BoxError, ClassifyResponse, Completion, Deferred, EndOfStream, Gate, Guard, HasInfo, No, Now,
    Operation, RequestInfo, Stage, Subscriber, Tick, Verdict,
};

/// Keeps a permit at the head of a stream if `keeps`, and notes every report.
#[derive(Clone, Default)]
struct Notes {
    notes: Arc<Mutex<Vec<String>>>,
    keeps: bool,
}

impl Notes {
    fn note(&self, what: String) {
        self.notes.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }
}

impl Gate for Notes {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, _: &Now) -> Option<No> {
        None
    }

    fn try_acquire(&self, _: &RequestInfo, _: &Now, _: &mut Deferred) -> Result<(), No> {
        Ok(())
    }

    fn record(&self, _: &RequestInfo, (): (), done: &Completion, _: &mut Deferred) -> Option<()> {
        self.note(format!("{:?} {}", done.stage, done.verdict.outcome));
        (self.keeps && done.stage == Stage::Head).then_some(())
    }

    fn not_ready(&self, verdict: &Verdict, _: &Now, _: &mut Deferred) {
        self.note(format!("not ready: {}", verdict.outcome));
    }

    fn subscribe(&self, _: Weak<dyn Subscriber>) {}
}

/// Its responses are streams, whose end stands in the response.
#[derive(Clone)]
struct Streams(RequestInfo);

impl HasInfo for Streams {
    fn info(&self) -> &RequestInfo {
        &self.0
    }
}

impl ClassifyResponse<EndOfStream> for Streams {
    fn classify(&self, result: Result<&EndOfStream, &BoxError>) -> Verdict {
        if result.is_ok() { Verdict::success() } else { Verdict::unknown() }
    }

    fn end_of_stream(&self, response: &EndOfStream) -> Option<EndOfStream> {
        Some(response.clone())
    }
}

fn guard(gate: &Notes) -> Guard<Notes, Streams> {
    let mut guard = Guard::new(gate.clone(), Streams(RequestInfo::new(Operation::new(0, "a"))), ());
    guard.sent(Tick::ZERO);
    guard
}

#[test]
fn the_end_of_a_stream_is_recorded_by_a_gate_that_kept_its_permit() {
    let gate = Notes { keeps: true, ..Notes::default() };
    let (end, reporter) = EndOfStream::of(Verdict::success());
    guard(&gate).classify(Ok(&end));
    assert_eq!(gate.take(), ["Head success"]);
    reporter.report(Verdict::permanent());
    assert_eq!(gate.take(), ["End permanent"]);
}

#[test]
fn for_a_gate_that_keeps_nothing_the_head_is_all() {
    let gate = Notes::default();
    let pair = (gate.clone(), gate.clone());
    let (end, reporter) = EndOfStream::of(Verdict::success());
    let info = RequestInfo::new(Operation::new(0, "a"));
    Guard::new(pair, Streams(info), (Some(()), Some(()))).classify(Ok(&end));
    assert_eq!(gate.take(), ["Head success", "Head success"]);
    reporter.report(Verdict::permanent());
    assert!(gate.take().is_empty());

    let head = Completion::head(Verdict::success(), Tick::ZERO, Tick::ZERO);
    let pair = (gate.clone(), gate);
    let kept = pair.record(&info, (Some(()), Some(())), &head, &mut Deferred::new());
    assert!(kept.is_none(), "a pair that holds no permit has nothing to wait for");
}

#[test]
fn a_service_that_failed_to_become_ready_was_sent_nothing() {
    let gate = Notes::default();
    let mut guard = guard(&gate);
    guard.not_ready(&"no connection".into());
    assert_eq!(gate.take(), ["not ready: unknown", "NotSent rejected"]);
    drop(guard);
    assert!(gate.take().is_empty(), "the permit is given back once");
}
