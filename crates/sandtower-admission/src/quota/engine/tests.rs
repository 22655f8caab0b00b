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
        let attempt = engine.take(now).unwrap();
        let _ = engine.settle(attempt, Came::Granted, now);
    }
}

/// Twenty are in use, and the service said that there are no more.
fn full(now: Tick) -> Engine {
    let mut engine = engine(None);
    grant(&mut engine, 20, now);
    let attempt = engine.take(now).unwrap();
    assert_eq!(engine.settle(attempt, Came::Exhausted, now), None);
    engine
}

/// Waits for the next probe and answers it, and when it went.
fn probe(engine: &mut Engine, now: Tick) -> (Try, Tick) {
    let due = engine.take(now).unwrap_err().at;
    (engine.take(due).unwrap(), due)
}

#[test]
fn nobody_is_held_before_the_service_says_no() {
    let mut engine = engine(None);
    grant(&mut engine, 1_000, at(0));
    assert_eq!((engine.in_use(), engine.limit()), (1_000, None));
}

#[test]
fn after_a_no_the_limit_is_what_was_granted_and_nobody_goes_before_a_probe_is_due() {
    let mut engine = full(at(0));
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
    let no = engine.take(at(1)).unwrap_err();
    assert_eq!(no.since, at(0));
    assert!((at(2)..=at(5)).contains(&no.at), "{no:?}");
}

#[test]
fn those_under_way_when_the_service_says_no_still_count() {
    let mut engine = engine(None);
    grant(&mut engine, 18, at(0));
    let tries: Vec<_> = (0..5).map(|_| engine.take(at(0)).unwrap()).collect();
    let [last, one_more, first, second, third] = tries.try_into().unwrap();
    let _ = engine.settle(first, Came::Exhausted, at(1));
    let _ = engine.settle(last, Came::Granted, at(1));
    let _ = engine.settle(second, Came::Exhausted, at(1));
    let _ = engine.settle(one_more, Came::Granted, at(1));
    let _ = engine.settle(third, Came::Exhausted, at(1));
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
    assert!(engine.take(at(1)).is_err());
}

#[test]
fn each_release_lets_exactly_one_go() {
    let mut engine = full(at(0));
    assert!(engine.take(at(1)).is_err());
    assert_eq!(engine.release(2), Some(Eased));
    let [first, second] = [engine.take(at(1)).unwrap(), engine.take(at(1)).unwrap()];
    assert!(engine.take(at(1)).is_err());
    for attempt in [first, second] {
        assert_eq!(engine.settle(attempt, Came::Granted, at(2)), None);
    }
    assert!(engine.take(at(2)).is_err());
}

#[test]
fn a_slot_that_another_process_took_first_is_not_asked_for_again() {
    let mut engine = full(at(0));
    let _ = engine.release(1);
    let attempt = engine.take(at(1)).unwrap();
    let _ = engine.settle(attempt, Came::Exhausted, at(1));
    assert_eq!((engine.in_use(), engine.limit()), (19, Some(19)));
    assert!(engine.take(at(1)).is_err());
}

#[test]
fn a_slot_that_became_free_while_a_probe_was_under_way_is_not_forgotten_when_it_finds_none() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.release(1);
    let _ = engine.settle(attempt, Came::Exhausted, now);
    assert!(engine.take(now).is_ok());
}

#[test]
fn a_slot_that_was_not_ours_can_become_free_too() {
    let mut engine = engine(None);
    let attempt = engine.take(at(0)).unwrap();
    let _ = engine.settle(attempt, Came::Exhausted, at(0));
    assert!(engine.take(at(1)).is_err());
    assert_eq!(engine.release(1), Some(Eased));
    let attempt = engine.take(at(1)).unwrap();
    let _ = engine.settle(attempt, Came::Granted, at(2));
    assert_eq!((engine.in_use(), engine.limit()), (1, Some(1)));
}

#[test]
fn one_probe_goes_at_a_time_and_more_and_more_rarely() {
    let (mut engine, mut now, mut pauses) = (full(at(0)), at(0), Vec::new());
    for _ in 0..8 {
        let (attempt, due) = probe(&mut engine, now);
        assert!(engine.take(due).is_err(), "a second probe");
        let _ = engine.settle(attempt, Came::Exhausted, due);
        pauses.push(due.since(now));
        now = due;
    }
    for (pause, most) in pauses.into_iter().zip([5, 10, 20, 40, 60, 60, 60, 60]) {
        let most = Duration::from_secs(most);
        assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
    }
}

#[test]
fn a_probe_that_finds_a_slot_opens_step_by_step_and_a_no_closes_again() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.take(now);
    assert_eq!(engine.settle(attempt, Came::Granted, now), Some(Eased));
    assert_eq!(engine.in_use(), 20, "one ended unseen");
    let mut at_once = Vec::new();
    for _ in 0..3 {
        let tries: Vec<_> = std::iter::from_fn(|| engine.take(now).ok()).collect();
        at_once.push(tries.len());
        for attempt in tries {
            let _ = engine.settle(attempt, Came::Granted, now);
        }
    }
    assert_eq!(at_once, [2, 2, 3]);
    let attempt = engine.take(now).unwrap();
    let _ = engine.settle(attempt, Came::Exhausted, now);
    assert!(engine.take(now).is_err());
    assert_eq!((engine.in_use(), engine.limit()), (20, Some(20)));
}

#[test]
fn no_more_go_after_a_probe_than_may_have_ended_before_another_one_looks() {
    let mut engine = full(at(0));
    let (attempt, now) = probe(&mut engine, at(0));
    let _ = engine.settle(attempt, Came::Granted, now);
    grant(&mut engine, 19, now);
    let attempt = engine.take(now).unwrap();
    assert!(attempt.lease.is_some(), "all that were counted have been replaced");
    assert!(engine.take(now).is_err(), "one at a time");
}

#[test]
fn beyond_a_limit_that_is_known_one_goes_at_a_time_and_the_word_of_the_service_counts() {
    let mut engine = engine(Some(20));
    grant(&mut engine, 20, at(0));
    let beyond = engine.take(at(0)).unwrap();
    assert_eq!(engine.take(at(0)).unwrap_err().at, at(0) + LEASE);
    assert_eq!(engine.settle(beyond, Came::Granted, at(1)), Some(Eased));
    assert!(engine.take(at(1)).is_ok(), "nobody waits for what only the count says");
}

#[test]
fn a_lost_probe_is_followed_by_another_and_is_void_when_it_comes_back() {
    let mut engine = full(at(0));
    let (lost, due) = probe(&mut engine, at(0));
    let (next, later) = probe(&mut engine, due);
    assert_eq!(later, due + LEASE);
    let _ = engine.settle(lost, Came::Exhausted, later);
    assert!(engine.take(later).is_err(), "the other one is still out");
    assert_eq!(engine.settle(next, Came::Granted, later), Some(Eased));
}

#[test]
fn a_probe_that_was_never_sent_may_be_sent_by_another() {
    let mut engine = full(at(0));
    let (attempt, due) = probe(&mut engine, at(0));
    engine.give_back(attempt);
    assert!(engine.take(due).is_ok());
    assert_eq!(engine.counts().probes, 0);
}

#[test]
fn a_no_to_what_was_sent_before_a_probe_found_a_slot_says_nothing() {
    let mut engine = engine(None);
    let early = engine.take(at(0)).unwrap();
    let attempt = engine.take(at(0)).unwrap();
    let _ = engine.settle(attempt, Came::Exhausted, at(1));
    let (attempt, due) = probe(&mut engine, at(1));
    let _ = engine.settle(attempt, Came::Granted, due);
    let _ = engine.settle(early, Came::Exhausted, due);
    assert_eq!(engine.waits(), None);
}

#[test]
fn a_reset_forgets_the_count_and_not_what_is_under_way() {
    let mut engine = full(at(0));
    let (attempt, due) = probe(&mut engine, at(0));
    assert_eq!(engine.reset(Some(1)), Some(Eased));
    assert_eq!((engine.in_use(), engine.under_way()), (0, 1));
    let _ = engine.settle(attempt, Came::Exhausted, due + SECOND);
    assert_eq!(engine.waits(), None);
}
