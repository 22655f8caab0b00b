//! The window against a plain list of instants.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::Tick;
use sandtower_rate_limit::{Recorded, Window};

#[derive(Clone, Debug)]
enum Step {
    Add,
    GiveBack(prop::sample::Index),
    Wait(u64),
    GoBack(u64),
}

fn step(span: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Add),
        2 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        6 => (0..=span / 20).prop_map(Step::Wait),
        1 => (0..=span * 3).prop_map(Step::Wait),
        1 => (0..=span).prop_map(Step::GoBack),
    ]
}

fn scenario() -> impl Strategy<Value = (u64, u64, Vec<Step>)> {
    let span = prop_oneof![Just(1_000_000), 1_000_000..10_000_000_000_u64];
    let start = prop_oneof![Just(0), any::<u32>().prop_map(u64::from)];
    (span, start).prop_flat_map(|(span, start)| {
        (Just(span), Just(start), prop::collection::vec(step(span), 0..300))
    })
}

/// How many of `times` lie within `span` before `now`.
fn within<'a>(times: impl IntoIterator<Item = &'a u64>, now: u64, span: u64) -> u64 {
    times.into_iter().filter(|&&time| time + span > now).count() as u64
}

proptest! {
    #[test]
    fn it_never_counts_too_few_and_no_more_than_one_bucket_too_many(
        (span, start, steps) in scenario(),
    ) {
        let mut window = Window::new(Duration::from_nanos(span));
        let bucket = window.resolution().as_nanos() as u64;
        // The span itself is rounded up to whole buckets.
        let longest = bucket * 64 + bucket;
        let mut made: Vec<(u64, Recorded)> = Vec::new();
        // Its time begins with the first record and never goes back.
        let (mut now, mut latest, mut begun) = (start, 0, false);
        for step in steps {
            match step {
                Step::Wait(nanos) => now += nanos,
                Step::GoBack(nanos) => now = now.saturating_sub(nanos),
                Step::Add => {
                    (latest, begun) = (latest.max(now), true);
                    made.push((latest, window.add(Tick::from_nanos(now))));
                }
                Step::GiveBack(index) if !made.is_empty() => {
                    let (_, recorded) = made.swap_remove(index.index(made.len()));
                    window.give_back(recorded);
                }
                Step::GiveBack(_) => {}
            }
            let count = window.count(Tick::from_nanos(now));
            latest = if begun { latest.max(now) } else { latest };
            let times = || made.iter().map(|(time, _)| time);
            prop_assert!(count >= within(times(), latest, span));
            prop_assert!(count <= within(times(), latest, longest));
        }
    }

    #[test]
    fn it_falls_below_a_bound_exactly_when_it_says(
        (span, start, steps) in scenario(),
        bound in 1..20_u64,
    ) {
        let mut window = Window::new(Duration::from_nanos(span));
        let mut now = start;
        for step in steps {
            match step {
                Step::Wait(nanos) => now += nanos,
                _ => drop(window.add(Tick::from_nanos(now))),
            }
        }
        let present = Tick::from_nanos(now);
        let falls = window.falls_below(bound, present);
        if window.count(present) < bound {
            prop_assert_eq!(falls, present);
        } else {
            let just_before = Tick::from_nanos(falls.as_nanos() - 1);
            prop_assert!(window.count(just_before) >= bound);
            prop_assert!(window.count(falls) < bound);
        }
    }

    #[test]
    fn a_limit_kept_by_it_is_never_exceeded_across_any_edge(
        waits in prop::collection::vec(0..50_u64, 1..400),
        limit in 1..20_u64,
    ) {
        let span = 1_000_000_u64;
        let mut window = Window::new(Duration::from_nanos(span));
        let mut now = 0;
        let mut sent: Vec<u64> = Vec::new();
        for wait in waits {
            now += wait * span / 100;
            // As many as will go, all at once: the worst that a client can do.
            while window.count(Tick::from_nanos(now)) < limit {
                let _ = window.add(Tick::from_nanos(now));
                sent.push(now);
            }
            prop_assert!(within(&sent, now, span) <= limit);
        }
    }
}
