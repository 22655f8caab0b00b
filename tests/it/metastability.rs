//! The short form of the table in `docs/metastability.md`.

use std::time::Duration;

use examples::metastability::{Scenario, Without, run};

#[test]
fn the_service_recovers_from_a_drop_of_capacity() {
    for seed in 1..=2 {
        let result = run(Scenario::CapacityDrop { load: 0.85 }, Without::Nothing, seed).unwrap();
        let recovery = result.recovery.unwrap_or(Duration::MAX);
        assert!(recovery <= Duration::from_secs(30), "seed {seed}: {recovery:?}");
    }
}

#[test]
fn at_twice_its_capacity_nearly_all_its_work_is_useful() {
    for seed in 1..=2 {
        let result = run(Scenario::Overload { load: 2.0 }, Without::Nothing, seed).unwrap();
        assert!(result.useful >= 0.93, "seed {seed}: {result:?}");
    }
}

#[test]
fn without_the_limiter_most_work_is_wasted() {
    let result = run(Scenario::Overload { load: 2.0 }, Without::Limiter, 1).unwrap();
    assert!(result.useful < 0.6, "{result:?}");
}
