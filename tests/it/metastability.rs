//! The short form of the table in `docs/metastability.md`.

use std::time::Duration;

use examples::metastability::{Scenario, Without, run};

#[test]
fn after_a_drop_of_capacity_the_service_gets_well_again() {
    for seed in 1..=2 {
        let result = run(Scenario::CapacityDrop { load: 0.85 }, Without::Nothing, seed).unwrap();
        let recovery = result.recovery.unwrap_or(Duration::MAX);
        assert!(recovery <= Duration::from_secs(30), "seed {seed}: {recovery:?}");
    }
}

#[test]
fn at_twice_the_load_it_can_do_nearly_all_its_work_is_useful() {
    for seed in 1..=2 {
        let result = run(Scenario::Overload { load: 2.0 }, Without::Nothing, seed).unwrap();
        assert!(result.useful >= 0.93, "seed {seed}: {result:?}");
    }
}

#[test]
fn without_the_limiter_most_of_it_is_wasted() {
    let result = run(Scenario::Overload { load: 2.0 }, Without::Limiter, 1).unwrap();
    assert!(result.useful < 0.6, "{result:?}");
}
