//! The stress test with the pool on: beside the same stack without one.

use std::time::Duration;

use load_test::{Outcome, Policy, stress_in};
use sandtower_sim::World;

const SEEDS: std::ops::Range<u64> = 1..21;

fn run(policy: Policy, seed: u64) -> Outcome {
    stress_in(World::stress(), policy, seed).unwrap()
}

fn firsts(outcome: &Outcome) -> Vec<Duration> {
    outcome.results.iter().map(|result| result.first_sandbox()).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn the_first_sandbox_of_each_query_comes_within_a_second_and_costs_little() {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for seed in SEEDS {
        let outcome = run(Policy::SandtowerPool, seed);
        assert_eq!(outcome.completed(), 12, "seed {seed}: {outcome:?}");
        assert_eq!((outcome.left, outcome.zombies), (0, 0), "seed {seed}");
        let first = median(firsts(&outcome));
        assert!(first < Duration::from_secs(1), "seed {seed}: {first:?}");
        assert!(outcome.amplification() <= 1.3, "seed {seed}: {}", outcome.amplification());
        with.extend(outcome.results.iter().map(|result| result.call.took));
        let plain = run(Policy::Sandtower, seed);
        without.extend(plain.results.iter().map(|result| result.call.took));
        println!(
            "seed {seed}: first {first:?} ({:?} without), {:.2} creations for one",
            median(firsts(&plain)),
            outcome.amplification(),
        );
    }
    let (with, without) = (median(with), median(without));
    println!("whole queries: {with:?} with the pool, {without:?} without");
    assert!(with < without);
}
