use std::time::Duration;

use sandtower_core::{Completion, RequestInfo, Rng, Tick, Verdict};

use super::*;
use crate::{engine::Settings, open_time::OpenTime, trip::Rule};

fn at(second: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(second)
}

fn switch() -> Switch {
    let time = Duration::from_secs(10);
    let settings = Settings {
        rule: Rule::consecutive(3),
        open: OpenTime { first: time, most: time, jitter: false, longest: time },
        stable: time,
        probes: 1,
        successes: 1,
        ramp: 0,
        lease: time,
        expected: time,
    };
    Switch::new(Engine::new(settings, Rng::with_seed(0), at(1)))
}

/// What a call gets from the word alone, while another thread has the lock.
fn without_lock(switch: &Switch) -> Option<Permit> {
    let _locked = switch.lock();
    assert_eq!(switch.is_quiet(), switch.pass().is_some());
    switch.pass()
}

#[test]
fn while_it_is_quiet_a_call_and_its_response_need_no_lock() {
    let switch = switch();
    let permit = without_lock(&switch).unwrap();
    let counted = [Outcome::Success, Outcome::Permanent, Outcome::Exhausted, Outcome::Transient]
        .map(|outcome| switch.count(&permit, outcome));
    assert_eq!(counted, [true, true, true, false], "a failure is for the engine");
    let mut counters = Counters::default();
    switch.add_responses(&mut counters);
    assert_eq!((counters.succeeded, counters.declined), (1, 2));
}

#[test]
fn with_evidence_against_the_service_the_engine_decides() {
    let switch = switch();
    let permit = without_lock(&switch).unwrap();
    let failed = without_lock(&switch).unwrap();
    let done = Completion::new(Verdict::unknown(), at(2), at(2));
    switch.update(|engine| engine.record(&RequestInfo::default(), failed, &done));
    assert!(without_lock(&switch).is_none());
    assert!(!switch.count(&permit, Outcome::Success), "a success is evidence as well");
    let done = Completion::new(Verdict::success(), at(2), at(3));
    switch.update(|engine| engine.record(&RequestInfo::default(), permit, &done));
    assert!(without_lock(&switch).is_some());
}
