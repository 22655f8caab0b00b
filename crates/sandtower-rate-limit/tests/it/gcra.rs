//! The pace against a plain list of what was sent.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::Tick;
use sandtower_rate_limit::{Charge, Gcra, Pace};

const INTERVAL: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Take,
    GiveBack(prop::sample::Index),
    Wait(u64),
}

fn steps(with_returns: bool) -> impl Strategy<Value = Vec<Step>> {
    let returns = if with_returns { 3 } else { 0 };
    let step = prop_oneof![
        6 => Just(Step::Take),
        returns => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        4 => (0..=2 * INTERVAL).prop_map(Step::Wait),
        1 => (0..=50 * INTERVAL).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

/// The charges made, each with its instant.
type Sent = Vec<(u64, Charge)>;

/// Walks through `steps`; says what was sent and not given back, and how it stands at the end.
fn walk(burst: u32, steps: Vec<Step>) -> (Gcra, Sent, u64) {
    let mut gcra = Gcra::new(Pace::every(Duration::from_nanos(INTERVAL)).burst(burst));
    let (mut sent, mut now) = (Sent::new(), 1_000_000);
    for step in steps {
        match step {
            Step::Take => {
                if let Ok(charge) = gcra.take(Tick::from_nanos(now)) {
                    sent.push((now, charge));
                }
            }
            Step::GiveBack(index) if !sent.is_empty() => {
                let (_, charge) = sent.remove(index.index(sent.len()));
                gcra.give_back(charge);
            }
            Step::GiveBack(_) => {}
            Step::Wait(nanos) => now += nanos,
        }
    }
    (gcra, sent, now)
}

/// When the next may go by the definition: no span `t` may hold more than `burst + t / interval`.
fn opens_by_definition(sent: &[(u64, Charge)], burst: u32) -> u64 {
    let newest_first = sent.iter().rev().zip(1_u64..);
    let bounds = newest_first.map(|((time, _), so_many)| {
        // With one more there would be `so_many + 1` since `time`.
        time + (so_many + 1).saturating_sub(u64::from(burst)) * INTERVAL
    });
    bounds.max().unwrap_or(0)
}

proptest! {
    #[test]
    fn the_next_may_go_exactly_when_the_definition_says(
        burst in 1..6_u32,
        steps in steps(false),
    ) {
        let (gcra, sent, now) = walk(burst, steps);
        let by_definition = opens_by_definition(&sent, burst).max(now);
        prop_assert_eq!(gcra.opens().as_nanos().max(now), by_definition);
    }

    #[test]
    fn no_span_ever_holds_more_than_the_burst_and_its_share_whatever_is_given_back(
        burst in 1..6_u32,
        steps in steps(true),
    ) {
        let (_, sent, _) = walk(burst, steps);
        for (first, (from, _)) in sent.iter().enumerate() {
            for (last, (to, _)) in sent.iter().enumerate().skip(first) {
                let in_between = (last - first + 1) as u64;
                prop_assert!(in_between <= u64::from(burst) + (to - from) / INTERVAL);
            }
        }
    }

    #[test]
    fn what_is_given_back_before_others_were_charged_was_never_taken(
        burst in 1..6_u32,
        steps in steps(false),
        wait in 0..3 * INTERVAL,
    ) {
        let (mut gcra, _, mut now) = walk(burst, steps);
        let before = gcra.opens().as_nanos();
        if let Ok(charge) = gcra.take(Tick::from_nanos(now)) {
            now += wait;
            gcra.give_back(charge);
            prop_assert_eq!(gcra.opens().as_nanos().max(now), before.max(now));
        }
    }

    #[test]
    fn to_give_back_never_makes_anyone_wait_longer(burst in 1..6_u32, steps in steps(true)) {
        let (mut gcra, sent, _) = walk(burst, steps);
        for (_, charge) in sent {
            let before = gcra.opens();
            gcra.give_back(charge);
            prop_assert!(gcra.opens() <= before);
        }
    }
}
