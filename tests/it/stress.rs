//! The claim of the load test: what loses most executions unprotected completes through the layers.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::time::Duration;

use load_test::{Outcome, Policy, stress_in};
use sandtower_sim::World;

const SEEDS: std::ops::Range<u64> = 1..21;

fn run(policy: Policy, seed: u64) -> Outcome {
    stress_in(World::stress(), policy, seed).unwrap()
}

#[test]
fn through_the_layers_every_query_succeeds_for_any_seed() {
    for seed in SEEDS {
        let outcome = run(Policy::Sandtower, seed);
        assert_eq!(outcome.completed(), 12, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.left, 0, "seed {seed}: sandboxes left behind");
        assert_eq!(outcome.zombies, 0, "seed {seed}: zombies returned");
        assert!(outcome.amplification() <= 1.1, "seed {seed}: {}", outcome.amplification());
        assert!(outcome.longest() < Duration::from_secs(90), "seed {seed}: {outcome:?}");
    }
}

/// The layers are not tuned to one world: it may be half as good or twice as bad in any respect.
#[test]
fn through_the_layers_every_query_succeeds_in_any_world() {
    for ((name, world), seed) in World::stress().variations().zip(1..) {
        // Worlds with another capacity are tried with more than one seed.
        let seeds = if name.contains("parallel") || name.contains("median") { 3 } else { 1 };
        for seed in seed..seed + seeds {
            let outcome = stress_in(world.clone(), Policy::Sandtower, seed).unwrap();
            assert_eq!(outcome.completed(), 12, "{name}, seed {seed}: {outcome:?}");
            assert_eq!(outcome.left, 0, "{name}, seed {seed}: sandboxes left behind");
            let (amplification, longest) = (outcome.amplification(), outcome.longest());
            assert!(amplification <= 1.1, "{name}, seed {seed}: {amplification}");
            assert!(longest < Duration::from_secs(90), "{name}, seed {seed}: {longest:?}");
        }
    }
}

/// Of all seeds.
fn success(policy: Policy) -> f64 {
    let outcomes: Vec<_> = SEEDS.map(|seed| run(policy, seed)).collect();
    let done: u32 = outcomes.iter().map(Outcome::done_executions).sum();
    let failed: u32 = outcomes.iter().map(Outcome::failed_executions).sum();
    f64::from(done) / f64::from(done + failed)
}

#[test]
fn unprotected_most_executions_fail() {
    let rate = success(Policy::Unprotected);
    assert!((0.15..0.45).contains(&rate), "{rate}");
}

#[test]
fn retries_under_one_breaker_help_little() {
    let rate = success(Policy::Classic);
    assert!(rate < 0.6, "{rate}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for policy in Policy::ALL {
        let [first, second] = [(); 2].map(|()| format!("{:?}", run(policy, 7)));
        assert_eq!(first, second, "{}", policy.name());
    }
}
