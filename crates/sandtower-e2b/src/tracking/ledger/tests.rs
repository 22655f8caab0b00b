use proptest::prelude::*;
use sandtower_core::Seed;

use super::*;
use crate::CallId;

const START: Tick = Tick::from_nanos(1_000_000_000_000);

fn at(seconds: u64) -> Tick {
    START + Duration::from_secs(seconds)
}

fn ledger() -> Ledger {
    Ledger::new(Timing::default(), Seed::fixed(1).rng())
}

fn attempt(call: u64, number: u32) -> Marks {
    Marks { call: CallId::new(&Seed::fixed(call)), attempt: Some(number) }
}

fn id(name: &str) -> SandboxId {
    name.parse().unwrap()
}

fn all(sandboxes: impl IntoIterator<Item = (&'static str, Marks)>) -> Listed {
    let sandboxes = sandboxes.into_iter().map(|(name, marks)| (id(name), marks)).collect();
    Listed { sandboxes, complete: true }
}

#[test]
fn a_latecomer_is_killed_and_the_sandbox_of_the_attempt_after_it_is_not() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    assert_eq!(ledger.next(at(0)), Next::At(at(5)));
    assert_eq!(ledger.next(at(5)), Next::List);
    let listed = all([("late", attempt(1, 1)), ("held", attempt(1, 2)), ("other", attempt(2, 1))]);
    ledger.listed(listed, at(5), at(6));
    assert_eq!(ledger.next(at(6)), Next::Kill(id("late")));
    ledger.killed(&id("late"), true);
    assert_eq!(ledger.next(at(6)), Next::At(at(11)));
    assert_eq!((ledger.snapshot().killed, ledger.snapshot().open), (1, 1));
}

#[test]
fn an_attempt_is_resolved_by_a_listing_that_began_after_the_latest_time_of_its_sandbox() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    ledger.listed(all([]), at(109), at(111));
    assert_eq!(ledger.next(at(116)), Next::List);
    ledger.listed(all([("late", attempt(1, 1))]), at(110), at(117));
    assert_eq!(ledger.snapshot().open, 0);
    assert_eq!(ledger.next(at(117)), Next::Kill(id("late")));
    ledger.killed(&id("late"), true);
    assert_eq!((ledger.next(at(117)), ledger.is_idle()), (Next::Idle, true));
}

#[test]
fn an_incomplete_listing_resolves_nothing_but_its_orphans_are_killed() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    let half = Listed { complete: false, ..all([("late", attempt(1, 1))]) };
    ledger.listed(half, at(200), at(201));
    assert_eq!((ledger.snapshot().open, ledger.snapshot().killing), (1, 1));
}

#[test]
fn a_sandbox_that_may_be_adopted_is_not_killed_and_one_being_killed_is_not_adopted() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(20), at(0));
    ledger.listed(all([("mine", attempt(1, 1))]), at(5), at(6));
    assert_eq!(ledger.snapshot().killing, 0);
    assert!(ledger.adopt(attempt(1, 1), &id("mine")));
    ledger.listed(all([("mine", attempt(1, 1))]), at(25), at(26));
    assert_eq!(ledger.snapshot().killing, 0, "it has an owner");

    ledger.watch(attempt(2, 1), at(30), at(0), at(30));
    ledger.listed(all([("late", attempt(2, 1))]), at(35), at(36));
    assert!(!ledger.adopt(attempt(2, 1), &id("late")));
}

#[test]
fn kills_are_retried_until_one_succeeds_and_a_404_after_a_failed_kill_counts_as_one() {
    let mut ledger = ledger();
    ledger.release(id("dead"), at(0));
    ledger.release(id("dead"), at(0));
    for tried in 0..5 {
        assert_eq!(ledger.next(at(60 * tried)), Next::Kill(id("dead")));
        assert_eq!(ledger.kill_failed(&id("dead"), at(60 * tried)), None);
    }
    ledger.killed(&id("dead"), false);
    ledger.release(id("gone"), at(300));
    ledger.killed(&id("gone"), false);
    let seen = ledger.snapshot();
    assert_eq!((seen.killed, seen.gone, seen.killing), (1, 1, 0));
}

#[test]
fn unresolved_entries_are_dropped_in_the_end_and_stay_in_the_snapshot() {
    let mut ledger = ledger();
    ledger.release(id("stuck"), at(0));
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    assert_eq!(ledger.kill_failed(&id("stuck"), at(899)), None);
    let lost = ledger.kill_failed(&id("stuck"), at(900)).unwrap();
    assert_eq!(lost.sandbox.as_deref(), Some("stuck"));
    assert!(ledger.listing_failed(at(1_009)).is_empty());
    assert_eq!(ledger.listing_failed(at(1_010)).len(), 1);
    let seen = ledger.snapshot();
    assert_eq!((seen.abandoned, seen.last_abandoned.len(), seen.open), (2, 2, 0));
}

#[test]
fn failed_listings_back_off() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    let mut now = at(5);
    for _ in 0..20 {
        assert_eq!(ledger.next(now), Next::List);
        ledger.listing_failed(now);
        let Next::At(next) = ledger.next(now) else { panic!("at once") };
        let wait = next.since(now);
        assert!((5..=60).contains(&wait.as_secs()), "{wait:?}");
        now = next;
    }
}

#[test]
fn a_listing_or_a_kill_whose_task_was_lost_is_repeated() {
    let mut ledger = ledger();
    ledger.watch(attempt(1, 1), at(0), at(0), at(0));
    ledger.release(id("dead"), at(0));
    assert_eq!(ledger.next(at(5)), Next::Kill(id("dead")));
    assert_eq!(ledger.next(at(5)), Next::List);
    assert_eq!(ledger.next(at(5)), Next::At(at(185)));
    assert_eq!(ledger.next(at(185)), Next::Kill(id("dead")));
    assert_eq!(ledger.next(at(185)), Next::List);
}

#[test]
fn memory_is_bounded() {
    let mut ledger = ledger();
    for call in 0..MOST as u64 + 300 {
        ledger.watch(attempt(call, 1), at(call), at(0), at(call));
        ledger.release(id(&format!("i{call}")), at(call));
    }
    let seen = ledger.snapshot();
    assert_eq!((seen.open, seen.killing), (MOST as u64, MOST as u64));
    assert_eq!((seen.abandoned, seen.last_abandoned.len()), (600, MOST_GIVEN_UP));
}

/// The events of a ledger.
#[derive(Clone, Debug)]
enum Step {
    Abandon(u64),
    Adopt(u64),
    List { shows: Vec<u64>, complete: bool },
    FailToList,
    Kill { succeeds: bool },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 0..6_u64;
    prop_oneof![
        call().prop_map(Step::Abandon),
        call().prop_map(Step::Adopt),
        (proptest::collection::vec(call(), 0..6), any::<bool>())
            .prop_map(|(shows, complete)| Step::List { shows, complete }),
        Just(Step::FailToList),
        any::<bool>().prop_map(|succeeds| Step::Kill { succeeds }),
        (0..200_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn it_kills_abandoned_sandboxes_and_no_others(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (mut ledger, mut now) = (ledger(), START);
        // The reference model: until when the attempt of each call is watched, and what is to be killed.
        let mut open = BTreeMap::<u64, Tick>::new();
        let mut doomed = BTreeSet::<SandboxId>::new();
        let sandbox = |call: u64| id(&format!("i{call}"));
        for step in steps {
            match step {
                Step::Abandon(call) => {
                    ledger.watch(attempt(call, 1), now, now, now);
                    open.insert(call, now + Duration::from_secs(110));
                }
                Step::Adopt(call) => {
                    let is_free = !doomed.contains(&sandbox(call));
                    prop_assert_eq!(ledger.adopt(attempt(call, 1), &sandbox(call)), is_free);
                    if is_free {
                        open.remove(&call);
                    }
                }
                Step::List { shows, complete } => {
                    let began = now;
                    now += Duration::from_secs(1);
                    doomed.extend(shows.iter().filter(|c| open.contains_key(c)).map(|c| sandbox(*c)));
                    let sandboxes = shows.iter().map(|c| (sandbox(*c), attempt(*c, 1))).collect();
                    ledger.listed(Listed { sandboxes, complete }, began, now);
                    if complete {
                        open.retain(|_, until| began < *until);
                    } else {
                        open.retain(|_, until| now < *until + Duration::from_secs(900));
                    }
                }
                Step::FailToList => {
                    ledger.listing_failed(now);
                    open.retain(|_, until| now < *until + Duration::from_secs(900));
                }
                Step::Kill { succeeds } => {
                    // However long the wait was to be.
                    now += Duration::from_secs(200);
                    if let Next::Kill(dead) = ledger.next(now) {
                        prop_assert!(doomed.contains(&dead), "{} was not to be killed", dead);
                        if succeeds {
                            ledger.killed(&dead, true);
                            doomed.remove(&dead);
                        } else if ledger.kill_failed(&dead, now).is_some() {
                            doomed.remove(&dead);
                        }
                    } else {
                        prop_assert!(doomed.is_empty());
                    }
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            let seen = ledger.snapshot();
            prop_assert_eq!((seen.open, seen.killing), (open.len() as u64, doomed.len() as u64));
            prop_assert_eq!(ledger.is_idle(), open.is_empty() && doomed.is_empty());
            prop_assert_eq!(ledger.due.len(), ledger.releases.len());
        }
    }
}
