use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(61);

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(1_000 + seconds)
}

fn engine(limit: Option<u32>) -> Engine {
    let terms = Terms { limit, probe: Backoff::exponential(FIRST, MOST), lease: LEASE };
    Engine::new(terms, Rng::with_seed(1))
}

fn grant(engine: &mut Engine, slots: u32, now: Tick) {
    for _ in 0..slots {
        let attempt = engine.try_acquire(now).unwrap();
        let _ = engine.record(attempt, Outcome::Granted, now);
    }
}

/// Twenty are in use, and the service is out of slots.
fn full(now: Tick) -> Engine {
    let mut engine = engine(None);
    grant(&mut engine, 20, now);
    let attempt = engine.try_acquire(now).unwrap();
    assert!(!engine.record(attempt, Outcome::Exhausted, now));
    engine
}

/// Waits for the next probe: what went, and when.
fn probe(engine: &mut Engine, now: Tick) -> (Attempt, Tick) {
    let due = engine.try_acquire(now).unwrap_err().look_again;
    (engine.try_acquire(due).unwrap(), due)
}

#[test]
fn no_call_is_held_before_the_service_is_out_of_slots() {
    let mut engine = engine(None);
    grant(&mut engine, 1_000, at(0));
    assert_eq!((engine.in_use(), engine.limit()), (1_000, None));
}

#[test]
fn once_exhausted_the_limit_is_what_was_granted_and_no_call_goes_before_a_probe_is_due() {
    let mut engine = full(at(0));
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
    let held = engine.try_acquire(at(1)).unwrap_err();
    assert_eq!(engine.exhausted_since(), Some(at(0)));
    assert!((at(2)..=at(5)).contains(&held.look_again), "{held:?}");
}

#[test]
fn attempts_under_way_when_the_service_is_exhausted_still_count() {
    let mut engine = engine(None);
    grant(&mut engine, 18, at(0));
    let tries: Vec<_> = (0..5).map(|_| engine.try_acquire(at(0)).unwrap()).collect();
    let [last, one_more, first, second, third] = tries.try_into().unwrap();
    let _ = engine.record(first, Outcome::Exhausted, at(1));
    let _ = engine.record(last, Outcome::Granted, at(1));
    let _ = engine.record(second, Outcome::Exhausted, at(1));
    let _ = engine.record(one_more, Outcome::Granted, at(1));
    let _ = engine.record(third, Outcome::Exhausted, at(1));
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
    assert!(engine.try_acquire(at(1)).is_err());
}

#[test]
fn each_release_lets_exactly_one_go() {
    let mut engine = full(at(0));
    assert!(engine.try_acquire(at(1)).is_err());
    assert!(engine.release(2));
    let [first, second] = [engine.try_acquire(at(1)).unwrap(), engine.try_acquire(at(1)).unwrap()];
    assert!(engine.try_acquire(at(1)).is_err());
    for attempt in [first, second] {
        assert!(!engine.record(attempt, Outcome::Granted, at(2)));
    }
    assert!(engine.try_acquire(at(2)).is_err());
}

#[test]
fn a_slot_that_another_process_took_first_is_not_asked_for_again() {
    let mut engine = full(at(0));
    let _ = engine.release(1);
    let attempt = engine.try_acquire(at(1)).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, at(1));
    assert_eq!((engine.in_use(), engine.limit()), (19, Some(19)));
    assert!(engine.try_acquire(at(1)).is_err());
}

#[test]
fn an_end_that_is_seen_while_a_probe_is_under_way_lets_one_call_go_at_once() {
    // Slots of ours, and one of another process.
    for ours in [20, 1, 0] {
        let mut engine = engine(None);
        grant(&mut engine, ours, at(0));
        let attempt = engine.try_acquire(at(0)).unwrap();
        let _ = engine.record(attempt, Outcome::Exhausted, at(0));
        let (attempt, now) = probe(&mut engine, at(0));
        assert!(engine.try_acquire(now).is_err());
        assert!(engine.release(1));
        assert!(!engine.try_acquire(now).unwrap().is_probe);
        assert!(engine.try_acquire(now).is_err());
        let _ = engine.record(attempt, Outcome::Exhausted, now);
        assert!(engine.try_acquire(now).is_err(), "one end let two go");
        let _ = engine.release(1);
        assert!(engine.try_acquire(now).is_ok());
    }
}

#[test]
fn an_end_is_not_forgotten_whatever_becomes_of_the_attempts_that_other_ends_let_go() {
    use Outcome::{Exhausted, Granted, NotSent, Other};
    for outcomes in [[Granted, Exhausted], [Exhausted, Granted], [Exhausted, Exhausted]] {
        let mut engine = full(at(0));
        let _ = engine.release(2);
        let attempts = [engine.try_acquire(at(1)).unwrap(), engine.try_acquire(at(1)).unwrap()];
        assert!(engine.try_acquire(at(1)).is_err());
        let [first, second] = attempts;
        let _ = engine.record(first, outcomes[0], at(2));
        let _ = engine.release(1);
        let _ = engine.record(second, outcomes[1], at(2));
        assert!(engine.try_acquire(at(2)).is_ok(), "{outcomes:?}");
        assert!(engine.try_acquire(at(2)).is_err(), "{outcomes:?}");
    }
    // An attempt that did not find out leaves its slot to the next.
    for outcome in [NotSent, Other] {
        let mut engine = full(at(0));
        let _ = engine.release(1);
        let attempt = engine.try_acquire(at(1)).unwrap();
        assert!(engine.try_acquire(at(1)).is_err());
        assert!(engine.record(attempt, outcome, at(1)), "{outcome:?}");
        assert!(engine.try_acquire(at(1)).is_ok(), "{outcome:?}");
    }
}

#[test]
fn what_ended_while_the_attempt_was_under_way_that_found_no_slot_is_free() {
    let mut engine = engine(None);
    grant(&mut engine, 20, at(0));
    let attempt = engine.try_acquire(at(0)).unwrap();
    let _ = engine.release(2);
    let _ = engine.record(attempt, Outcome::Exhausted, at(1));
    assert_eq!((engine.in_use(), engine.limit()), (18, Some(20)));
    assert!(engine.try_acquire(at(1)).is_ok() && engine.try_acquire(at(1)).is_ok());
    assert!(engine.try_acquire(at(1)).is_err());
}

#[test]
fn only_a_probe_that_finds_a_slot_makes_probes_frequent_again() {
    let (mut engine, mut now) = (full(at(0)), at(0));
    for _ in 0..5 {
        let (attempt, due) = probe(&mut engine, now);
        let _ = engine.record(attempt, Outcome::Exhausted, due);
        now = due;
    }
    // A slot that is seen to become free puts the probe off by the pause that was reached.
    let _ = engine.release(1);
    let attempt = engine.try_acquire(now).unwrap();
    now = engine.try_acquire(now).unwrap_err().look_again;
    let _ = engine.record(attempt, Outcome::Granted, now);
    let (attempt, due) = probe(&mut engine, now);
    assert!(due.since(now) >= MOST / 2, "{:?}", due.since(now));
    let _ = engine.record(attempt, Outcome::Granted, due);
    let attempt = engine.try_acquire(due).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, due);
    let (_, next) = probe(&mut engine, due);
    assert!(next.since(due) <= FIRST, "{:?}", next.since(due));
}

#[test]
fn a_limit_that_is_lower_than_the_truth_grows() {
    // As after a restart: one of ours, and 99 of before that end unseen.
    let (mut engine, mut now) = (engine(None), at(0));
    grant(&mut engine, 1, now);
    let attempt = engine.try_acquire(now).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, now);
    for _ in 0..1_000 {
        let attempt = match engine.try_acquire(now) {
            Ok(attempt) => attempt,
            Err(held) => {
                now = held.look_again;
                engine.try_acquire(now).unwrap()
            }
        };
        let _ = engine.record(attempt, Outcome::Granted, now);
    }
    assert!(engine.limit() > Some(30), "{:?}", engine.limit());
    assert!(now < at(10), "one probe was enough");
}

#[test]
fn a_slot_that_was_not_ours_can_become_free_too() {
    let mut engine = engine(None);
    let attempt = engine.try_acquire(at(0)).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, at(0));
    assert!(engine.try_acquire(at(1)).is_err());
    assert!(engine.release(1));
    let attempt = engine.try_acquire(at(1)).unwrap();
    let _ = engine.record(attempt, Outcome::Granted, at(2));
    assert_eq!((engine.in_use(), engine.limit()), (1, Some(1)));
}

#[test]
fn one_probe_goes_at_a_time_and_more_and_more_rarely() {
    let (mut engine, mut now, mut pauses) = (full(at(0)), at(0), Vec::new());
    for _ in 0..8 {
        let (attempt, due) = probe(&mut engine, now);
        assert!(engine.try_acquire(due).is_err(), "a second probe");
        let _ = engine.record(attempt, Outcome::Exhausted, due);
        pauses.push(due.since(now));
        now = due;
    }
    for (pause, most) in pauses.into_iter().zip([5, 10, 20, 40, 60, 60, 60, 60]) {
        let most = Duration::from_secs(most);
        assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
    }
}

#[test]
fn after_a_probe_found_a_slot_calls_follow_step_by_step_until_the_service_is_exhausted() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.try_acquire(now);
    assert!(engine.record(attempt, Outcome::Granted, now));
    assert_eq!(engine.in_use(), 20, "one ended unseen");
    let mut at_once = Vec::new();
    for _ in 0..3 {
        let tries: Vec<_> = std::iter::from_fn(|| engine.try_acquire(now).ok()).collect();
        at_once.push(tries.len());
        for attempt in tries {
            let _ = engine.record(attempt, Outcome::Granted, now);
        }
    }
    assert_eq!(at_once, [2, 2, 3]);
    let attempt = engine.try_acquire(now).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, now);
    assert!(engine.try_acquire(now).is_err());
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
}

#[test]
fn no_more_go_after_a_probe_than_may_have_ended_before_another_one_looks() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.record(attempt, Outcome::Granted, now);
    grant(&mut engine, 19, now);
    let attempt = engine.try_acquire(now).unwrap();
    assert!(attempt.is_probe, "all that were counted have been replaced");
    assert!(engine.try_acquire(now).is_err(), "one at a time");
}

#[test]
fn beyond_a_known_limit_one_call_goes_at_a_time_and_at_once() {
    let mut engine = engine(Some(20));
    grant(&mut engine, 20, at(0));
    let beyond = engine.try_acquire(at(0)).unwrap();
    assert_eq!(engine.try_acquire(at(0)).unwrap_err().look_again, at(0) + LEASE);
    assert!(engine.record(beyond, Outcome::Granted, at(1)));
    assert!(engine.try_acquire(at(1)).is_ok(), "no call waits for what only our count says");
}

#[test]
fn a_slot_that_is_granted_while_a_probe_is_under_way_makes_no_second_probe_go() {
    let mut engine = full(at(0));
    let (_probe, now) = probe(&mut engine, at(0));
    let _ = engine.release(1);
    let attempt = engine.try_acquire(now).unwrap();
    let _ = engine.record(attempt, Outcome::Granted, now);
    assert_eq!(engine.try_acquire(now).unwrap_err().look_again, now + LEASE);
}

#[test]
fn a_lost_probe_is_followed_by_another_and_is_void_when_it_comes_back() {
    let mut engine = full(at(0));
    let (lost, due) = probe(&mut engine, at(0));
    let (next, later) = probe(&mut engine, due);
    assert_eq!(later, due + LEASE);
    let _ = engine.record(lost, Outcome::Exhausted, later);
    assert!(engine.try_acquire(later).is_err(), "the other one is still out");
    assert!(engine.record(next, Outcome::Granted, later));
}

#[test]
fn a_probe_that_was_never_sent_may_be_sent_by_another() {
    let mut engine = full(at(0));
    let (attempt, due) = probe(&mut engine, at(0));
    assert!(!engine.record(attempt, Outcome::NotSent, due));
    assert!(engine.try_acquire(due).is_ok());
    assert_eq!(engine.counts().probes, 0);
}

#[test]
fn exhausted_says_nothing_of_an_attempt_sent_before_a_probe_found_a_slot() {
    let mut engine = engine(None);
    let before_exhausted = engine.try_acquire(at(0)).unwrap();
    let attempt = engine.try_acquire(at(0)).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, at(1));
    let (attempt, due) = probe(&mut engine, at(1));
    let _ = engine.release(1);
    let before_found = engine.try_acquire(due).unwrap();
    let _ = engine.record(attempt, Outcome::Granted, due);
    for attempt in [before_exhausted, before_found] {
        let _ = engine.record(attempt, Outcome::Exhausted, due);
        assert_eq!(engine.exhausted_since(), None);
    }
}

#[test]
fn a_reset_forgets_the_count_and_not_what_is_under_way() {
    let mut engine = full(at(0));
    let _ = engine.release(1);
    let attempt = engine.try_acquire(at(0)).unwrap();
    let (probe, due) = probe(&mut engine, at(0));
    assert!(engine.try_acquire(due).is_err());
    assert!(engine.reset(Some(3)), "calls that were turned away may go now");
    assert_eq!((engine.in_use(), engine.under_way()), (0, 2));
    for attempt in [attempt, probe] {
        let _ = engine.record(attempt, Outcome::Exhausted, due + SECOND);
        assert_eq!(engine.exhausted_since(), None);
    }
}

#[test]
fn while_steps_hold_calls_a_probe_goes_once_no_slot_was_granted_for_a_pause() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.record(attempt, Outcome::Granted, now);
    let _hang = [(); 2].map(|()| engine.try_acquire(now).unwrap());
    assert!(
        engine.try_acquire(now + FIRST).unwrap().is_probe,
        "two that hang hold no call for long"
    );

    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.record(attempt, Outcome::Granted, now);
    let attempts = [(); 2].map(|()| engine.try_acquire(now).unwrap());
    let later = now + 2 * SECOND;
    let _ = engine.record(attempts[0], Outcome::Granted, later);
    let _replaced = engine.try_acquire(later).unwrap();
    let due = engine.try_acquire(later).unwrap_err().look_again;
    assert!((later + FIRST / 2..=later + FIRST).contains(&due), "{due:?}");
}

#[test]
fn steps_are_no_longer_counted_after_as_many_responses() {
    let mut engine = engine(None);
    grant(&mut engine, 100, at(0));
    let attempt = engine.try_acquire(at(0)).unwrap();
    let _ = engine.record(attempt, Outcome::Exhausted, at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.record(attempt, Outcome::Granted, now);
    grant(&mut engine, STEPS - 2, now);
    let tries: Vec<_> = std::iter::from_fn(|| engine.try_acquire(now).ok()).collect();
    assert_eq!(tries.len(), 8, "the last step");
    for attempt in tries {
        let _ = engine.record(attempt, Outcome::Other, now);
    }
    grant(&mut engine, 1, now);
    let _ = engine.release(50);
    let tries = std::iter::from_fn(|| engine.try_acquire(now).ok()).count();
    assert!(tries > 50, "{tries}");
}
