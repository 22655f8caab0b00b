//! The claim of the load test: what loses most executions unprotected completes through the layers.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use examples::load_test::{Load, Outcome, Way, in_process};
use sandtower_sim::World;

const SEEDS: std::ops::Range<u64> = 1..21;

fn run(way: Way, seed: u64) -> Outcome {
    let load = Load { users: 6, queries: 2, warm: 10, seed };
    in_process(load, way, World::stress()).unwrap()
}

#[test]
fn through_the_layers_every_query_is_answered_whatever_the_seed() {
    for seed in SEEDS {
        let outcome = run(Way::After, seed);
        assert_eq!(outcome.completed(), 12, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.left, 0, "seed {seed}: sandboxes left behind");
    }
}

#[test]
fn unprotected_most_executions_fail() {
    let outcomes: Vec<_> = SEEDS.map(|seed| run(Way::Before, seed)).collect();
    let done: u32 = outcomes.iter().map(Outcome::done_executions).sum();
    let failed: u32 = outcomes.iter().map(Outcome::failed_executions).sum();
    let rate = f64::from(done) / f64::from(done + failed);
    assert!((0.15..0.45).contains(&rate), "{done} done, {failed} failed: {rate}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for way in [Way::Before, Way::After] {
        assert_eq!(format!("{:?}", run(way, 7)), format!("{:?}", run(way, 7)));
    }
}
