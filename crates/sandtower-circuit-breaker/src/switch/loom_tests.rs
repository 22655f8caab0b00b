//! Every order in which two threads may meet at the word.

use std::time::Duration;

use loom::{sync::Arc, thread};
use sandtower_core::{Completion, Now, RequestInfo, Rng, Tick, Verdict};

use super::*;
use crate::{State, engine::Settings, open_time::OpenTime, trip::Rule};

fn switch(failures: u32) -> Arc<Switch> {
    let time = Duration::from_secs(10);
    let settings = Settings {
        rule: Rule::consecutive(failures),
        open: OpenTime { first: time, most: time, jitter: false, longest: time },
        stable: time,
        probes: 1,
        successes: 1,
        ramp: 0,
        lease: time,
        expected: time,
    };
    Arc::new(Switch::new(Engine::new(settings, Rng::with_seed(0), at(1))))
}

fn at(second: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(second)
}

fn acquire(switch: &Switch, now: Tick) -> Option<Permit> {
    let locked = || switch.update(|engine| engine.try_acquire(&Now::at(now)));
    switch.pass().or_else(|| locked().ok().map(|(permit, _)| permit))
}

fn record(switch: &Switch, permit: Permit, verdict: Verdict) {
    if !switch.count(&permit, verdict.outcome) {
        let done = Completion::new(verdict, at(2), at(2));
        let request = RequestInfo::default();
        let _ = switch.update(|engine| engine.record(&request, permit, &done));
    }
}

fn counters(switch: &Switch) -> Counters {
    let mut counters = switch.lock().snapshot("", at(2)).counters;
    switch.add_responses(&mut counters);
    counters
}

/// The word says what the engine says.
fn check(switch: &Switch) {
    let engine = switch.lock();
    assert_eq!(switch.word(), Word::of(&engine));
}

#[test]
fn a_response_that_meets_the_trip_neither_undoes_it_nor_is_lost() {
    loom::model(|| {
        let switch = switch(1);
        let failing = acquire(&switch, at(2)).unwrap();
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || record(&other, failing, Verdict::unknown()));
        if let Some(permit) = acquire(&switch, at(2)) {
            record(&switch, permit, Verdict::success());
        }
        thread.join().unwrap();
        assert_eq!(switch.lock().state(at(3)), State::Open);
        let Counters { succeeded, late, rejected, failed, .. } = counters(&switch);
        assert_eq!((succeeded + late + rejected, failed), (1, 1));
        check(&switch);
    });
}

#[test]
fn a_response_that_meets_the_last_failure_needed_comes_before_it_or_after_it() {
    loom::model(|| {
        let switch = switch(2);
        let permits = [(); 3].map(|()| acquire(&switch, at(2)).unwrap());
        let [first, second, responded] = permits;
        record(&switch, first, Verdict::unknown());
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || record(&other, second, Verdict::unknown()));
        record(&switch, responded, Verdict::success());
        thread.join().unwrap();
        let Counters { succeeded, late, trips, .. } = counters(&switch);
        let opened = switch.lock().state(at(3)) == State::Open;
        // Either it came in time and the run of failures has ended, or too late for anything.
        assert_eq!((succeeded, late, trips), if opened { (0, 1, 1) } else { (1, 0, 0) });
        check(&switch);
    });
}

#[test]
fn of_two_calls_when_the_open_time_is_over_one_is_the_probe() {
    loom::model(|| {
        let switch = switch(1);
        let failing = acquire(&switch, at(2)).unwrap();
        record(&switch, failing, Verdict::unknown());
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || acquire(&other, at(12)).is_some());
        let mine = acquire(&switch, at(12)).is_some();
        let theirs = thread.join().unwrap();
        assert!(mine ^ theirs, "mine {mine}, theirs {theirs}");
        check(&switch);
    });
}
