//! The short form of the tables in `docs/fairness.md`.

use std::time::Duration;

use examples::fairness::{Order, equal_tenants, noisy_neighbour, outage, priorities};

const SERVICE: Duration = Duration::from_secs(1);

#[test]
fn a_tenant_that_asks_for_fifty_times_its_share_costs_the_others_next_to_nothing() {
    for seed in 1..=2 {
        let run = noisy_neighbour(Order::Fair, seed).unwrap();
        println!("seed {seed}: {run:?}");
        assert!(run.others_throughput >= 0.99, "seed {seed}: {run:?}");
        assert!(run.others_wait_p99 <= 4 * SERVICE, "seed {seed}: {run:?}");
        assert!(run.greedy_of_the_rest >= 0.95, "seed {seed}: {run:?}");
        assert!(run.jain >= 0.98, "seed {seed}: {run:?}");
    }
    let run = noisy_neighbour(Order::Ignored, 1).unwrap();
    println!("in one queue: {run:?}");
    assert!(run.others_throughput < 0.9, "the measure does not see what is unfair: {run:?}");
}

#[test]
fn tenants_that_all_ask_for_too_much_get_the_same() {
    let run = equal_tenants(Order::Fair, 1).unwrap();
    println!("{run:?}");
    assert!(run.jain >= 0.98 && run.used >= 0.98, "{run:?}");
    let run = equal_tenants(Order::Ignored, 1).unwrap();
    println!("in one queue: {run:?}");
    assert!(run.jain < 0.9, "the measure does not see what is unfair: {run:?}");
}

#[test]
fn batch_work_of_ten_times_the_capacity_hardly_delays_interactive_calls() {
    let run = priorities(Order::Fair, 1).unwrap();
    println!("{run:?}");
    assert!(run.beside <= run.alone + 2 * SERVICE, "{run:?}");
    assert!(run.batch >= 0.4, "half of the capacity is left for it: {run:?}");
    let run = priorities(Order::Ignored, 1).unwrap();
    println!("in one queue: {run:?}");
    assert!(run.beside > run.alone + 2 * SERVICE, "the measure does not see it: {run:?}");
}

#[test]
fn interactive_calls_are_rejected_at_once_in_an_outage_and_the_others_are_held() {
    for seed in 1..=2 {
        let run = outage(1.0 / 12.0, seed).unwrap();
        println!("seed {seed}: {run:?}");
        assert!(
            run.rejected > 10 && run.rejected_late as u64 <= run.probes,
            "seed {seed}: {run:?}"
        );
        assert!(run.held > 40 && run.held_served * 100 >= run.held * 99, "seed {seed}: {run:?}");
        assert!(run.last_after <= 30 * SERVICE, "seed {seed}: {run:?}");
        assert!(run.peak <= 1.5, "seed {seed}: {run:?}");
        assert_eq!(run.sent_while_open, run.probes, "seed {seed}: {run:?}");
    }
}
