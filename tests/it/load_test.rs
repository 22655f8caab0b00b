//! The short form of the table in `docs/load-test.md`.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::time::Duration;

use load_test::{Load, Outcome, Policy, QueryResult, Setup, Shape, Unwatched, in_process, report};
use sandtower_load::{Ending, Part};

fn run(scenario: &str, policy: Policy, seed: u64) -> Outcome {
    let setup = Setup::named(scenario).unwrap();
    in_process(&setup, policy, seed, &mut Unwatched).unwrap()
}

/// Of the calls of three seeds.
fn success(scenario: &str, policy: Policy) -> f64 {
    let outcomes: Vec<_> = (1..=3).map(|seed| run(scenario, policy, seed)).collect();
    let processed: usize = outcomes.iter().map(Outcome::completed).sum();
    let calls: usize = outcomes.iter().map(|outcome| outcome.results.len()).sum();
    processed as f64 / calls as f64
}

/// Whether any request for it was sent. A rejected connection takes no time; what follows it does.
fn was_sent(result: &QueryResult) -> bool {
    result.spent.iter().any(|spent| matches!(spent.what, Part::Attempt | Part::Backoff))
}

#[test]
fn in_an_outage_callers_are_rejected_at_once_and_the_service_recovers_soon_after() {
    for seed in 1..=20 {
        let outcome = run("outage", Policy::Sandtower, seed);
        // Half-open, callers wait for the probe.
        let came_when_open = |result: &&QueryResult| result.breaker == Some("open");
        let rejected =
            outcome.results.iter().filter(|result| result.call.ending == Ending::Rejected);
        let at_once: Vec<_> =
            rejected.filter(|result| !was_sent(result)).filter(came_when_open).collect();
        assert!(at_once.len() >= 10, "seed {seed}: {} were rejected unsent", at_once.len());
        for result in at_once {
            let took = result.call.took;
            assert!(took <= Duration::from_millis(50), "seed {seed}: {result:?}");
            let error = result.error.as_deref().unwrap_or_default();
            assert!(error.contains("circuit breaker") && error.contains("retry in"), "{error}");
        }
        let recovery = outcome.figures().figures.recovery_ms;
        assert!(recovery.is_some_and(|ms| ms <= 11_000.0), "seed {seed}: {recovery:?}");
    }
}

#[test]
fn a_greedy_tenant_costs_the_others_nothing_and_gets_what_is_left() {
    for seed in 1..=5 {
        let of = |policy| run("noisy-neighbour", policy, seed).figures().figures;
        let figures = of(Policy::Sandtower);
        let tenants = figures.tenants.unwrap();
        assert_eq!(figures.dropped, 0.0, "seed {seed}");
        assert!(tenants.others_throughput_worst >= 0.99, "seed {seed}: {tenants:?}");
        let ratio = tenants.others_wait_p99_ratio.unwrap();
        assert!(ratio > 0.0 && ratio <= 4.0, "seed {seed}: {tenants:?}");
        assert!(tenants.jain >= 0.98, "seed {seed}: {tenants:?}");
        // What the others leave of five a second, while it offers 25.
        assert!((0.05..0.2).contains(&tenants.greedy_throughput), "seed {seed}: {tenants:?}");
        for policy in [Policy::Unprotected, Policy::Classic] {
            let tenants = of(policy).tenants.unwrap();
            assert!(tenants.others_throughput_worst < 0.5, "seed {seed}: {policy:?} {tenants:?}");
        }
    }
}

#[test]
fn the_report_has_numbers_for_tenants_where_there_are_any() {
    let json = |scenario| {
        let outcomes = [1, 2].map(|seed| run(scenario, Policy::Sandtower, seed));
        serde_json::to_value(report(&outcomes)).unwrap()
    };
    let noisy = json("noisy-neighbour");
    for tenants in [&noisy["tenants"], &noisy["worst"]["tenants"], &noisy["runs"][1]["tenants"]] {
        for figure in
            ["others_throughput_worst", "others_wait_p99_ratio", "greedy_throughput", "jain"]
        {
            assert!(tenants[figure].is_number(), "{figure} in {tenants}");
        }
    }
    assert!(json("outage-held")["tenants"].is_null());
}

#[test]
fn batch_jobs_are_held_through_an_outage_and_served_after_it() {
    for seed in 1..=20 {
        let outcome = run("outage-held", Policy::Sandtower, seed);
        let success = outcome.figures().figures.success();
        assert!(success >= 0.98, "seed {seed}: {success}");
        let ends = outcome.fault_ends.unwrap();
        let is_held = |result: &&QueryResult| {
            let call = result.call;
            result.breaker == Some("open") && call.meant < ends && call.ended() > ends
        };
        let held: Vec<_> = outcome.results.iter().filter(is_held).collect();
        assert!(held.len() >= 10, "seed {seed}: {} were held", held.len());
        assert_eq!(outcome.left, 0, "seed {seed}");
    }
    for policy in [Policy::Unprotected, Policy::Classic] {
        let success = success("outage-held", policy);
        assert!(success < 0.8, "{policy:?}: {success}");
    }
}

#[test]
fn where_waiting_helps_more_queries_succeed_through_the_layers_than_with_either_other_policy() {
    for scenario in
        ["capacity-drop", "overload", "rate-limit", "quota", "zombies", "lost-responses"]
    {
        let [unprotected, classic, sandtower] = Policy::ALL.map(|policy| success(scenario, policy));
        assert!(sandtower > unprotected, "{scenario}: {sandtower} of {unprotected}");
        assert!(sandtower > classic, "{scenario}: {sandtower} of {classic}");
    }
}

#[test]
fn through_the_layers_a_lost_response_leaves_no_sandbox_behind() {
    for seed in 1..=3 {
        assert_eq!(run("lost-responses", Policy::Sandtower, seed).left, 0, "seed {seed}");
        assert!(run("lost-responses", Policy::Unprotected, seed).left > 0, "seed {seed}");
    }
}

#[test]
fn through_the_layers_no_zombie_is_returned() {
    for seed in 1..=3 {
        assert_eq!(run("zombies", Policy::Sandtower, seed).zombies, 0, "seed {seed}");
        assert!(run("zombies", Policy::Unprotected, seed).zombies > 0, "seed {seed}");
        assert!(run("zombies", Policy::Classic, seed).zombies > 0, "seed {seed}");
    }
}

#[test]
fn all_of_the_time_of_a_call_is_recorded() {
    for (scenario, policy) in [
        ("stress", Policy::Sandtower),
        ("stress", Policy::Unprotected),
        ("zombies", Policy::Classic),
    ] {
        for result in run(scenario, policy, 1).results {
            let recorded: f64 = result.spent.iter().map(|spent| spent.ms).sum();
            let took = result.call.took.as_secs_f64() * 1e3;
            assert!(
                (recorded - took).abs() < 1.0,
                "{scenario}: {took} ms, recorded {recorded}: {result:?}"
            );
        }
    }
}

#[test]
fn a_report_has_the_worst_seed_beside_the_median_and_all_of_its_parts() {
    let setup = Setup::named("stress").unwrap();
    let run = |seed| in_process(&setup, Policy::Unprotected, seed, &mut Unwatched).unwrap();
    let outcomes: Vec<_> = (1..=3).map(run).collect();
    let report = report(&outcomes);
    assert_eq!(report.median.seeds, 3);
    assert_eq!(report.runs.len(), 3);
    let least = report.runs.iter().map(|run| run.figures.succeeded).fold(f64::MAX, f64::min);
    assert_eq!(report.worst.figures.succeeded, least);
    assert_eq!(report.queries.len(), 12);
    assert!(!report.series.is_empty() && !report.slowest.is_empty());
    assert_eq!(report.series.iter().map(|row| row.offered).sum::<u64>(), 12);
}

#[test]
fn an_invalid_load_is_rejected() {
    let shape = Shape::Users { users: 0, queries: 1, warm: 1 };
    let setup = Setup::named("stress").unwrap();
    let setup = Setup { load: Load { shape, ..setup.load }, ..setup };
    let rejected = in_process(&setup, Policy::Sandtower, 1, &mut Unwatched).unwrap_err();
    assert_eq!(rejected.to_string(), "a load of 0 users; use 1 or more");
    assert!(Setup::named("nope").is_none());
    assert!(Setup::names().all(|name| Setup::named(name).is_some()));
}
