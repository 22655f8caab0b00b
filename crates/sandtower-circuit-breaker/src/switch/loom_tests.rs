//! Every order in which two threads may meet at the words.

use std::time::Duration;

use loom::{sync::Arc, thread};
use sandtower_core::{Completion, Reason, Rng, Verdict};

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
    Arc::new(Switch::new(Engine::new(settings, Rng::with_seed(0), at(1)), 1))
}

fn at(second: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(second)
}

fn take(switch: &Switch, now: Tick) -> Option<Token> {
    switch.pass().or_else(|| switch.take(now).ok().map(|(token, _)| token))
}

fn settle(switch: &Switch, token: Token, verdict: Verdict) {
    if !switch.count(&token, verdict.outcome) {
        let settlement = Completion::new(verdict, at(2), at(2));
        let _ = switch.update(|engine| engine.settle(token, &settlement));
    }
}

fn counters(switch: &Switch) -> Counters {
    let mut counters = switch.lock().snapshot("", at(2)).counters;
    switch.add_answers(&mut counters);
    counters
}

/// The words say what the engine says.
fn check(switch: &Switch) {
    let engine = switch.lock();
    assert_eq!(switch.position(), Position::of(&engine));
    assert_eq!(switch.words.0.standing.read(Tick::ZERO), Ok(engine.standing_no()));
}

#[test]
fn an_answer_that_meets_the_trip_neither_undoes_it_nor_is_lost() {
    loom::model(|| {
        let switch = switch(1);
        let failing = take(&switch, at(2)).unwrap();
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || settle(&other, failing, Verdict::unknown()));
        if let Some(token) = take(&switch, at(2)) {
            settle(&switch, token, Verdict::success());
        }
        thread.join().unwrap();
        assert_eq!(switch.lock().state(at(3)), State::Open);
        let Counters { succeeded, late, rejected, failed, .. } = counters(&switch);
        assert_eq!((succeeded + late + rejected, failed), (1, 1));
        check(&switch);
    });
}

#[test]
fn an_answer_that_meets_the_last_failure_needed_comes_before_it_or_after_it() {
    loom::model(|| {
        let switch = switch(2);
        let tokens = [(); 3].map(|()| take(&switch, at(2)).unwrap());
        let [first, second, answered] = tokens;
        settle(&switch, first, Verdict::unknown());
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || settle(&other, second, Verdict::unknown()));
        settle(&switch, answered, Verdict::success());
        thread.join().unwrap();
        let Counters { succeeded, late, trips, .. } = counters(&switch);
        let opened = switch.lock().state(at(3)) == State::Open;
        // Either it came in time and the run of failures has ended, or too late for anything.
        assert_eq!((succeeded, late, trips), if opened { (0, 1, 1) } else { (1, 0, 0) });
        check(&switch);
    });
}

#[test]
fn of_two_who_come_when_the_open_time_is_over_one_is_the_probe() {
    loom::model(|| {
        let switch = switch(1);
        let failing = take(&switch, at(2)).unwrap();
        settle(&switch, failing, Verdict::unknown());
        let other = Arc::clone(&switch);
        let thread = thread::spawn(move || take(&other, at(12)).is_some());
        let mine = take(&switch, at(12)).is_some();
        let theirs = thread.join().unwrap();
        assert!(mine ^ theirs, "mine {mine}, theirs {theirs}");
        check(&switch);
    });
}

#[test]
fn a_rejection_told_without_the_lock_is_of_one_piece() {
    loom::model(|| {
        let no = |second, reason| No { at: at(second), reason, soon: None };
        let open = no(20, Reason::Open { failed: 5, of: 8 });
        let probing = no(30, Reason::Probing);
        let standing = Arc::new(QueuePosition::new(Some(open)));
        let other = Arc::clone(&standing);
        let thread = thread::spawn(move || {
            other.publish(Some(probing));
            other.publish(None);
        });
        let read = standing.read(at(2));
        let whole = [Ok(Some(open)), Ok(Some(probing)), Ok(None), Err(Changing)];
        assert!(whole.contains(&read), "{read:?}");
        thread.join().unwrap();
    });
}
