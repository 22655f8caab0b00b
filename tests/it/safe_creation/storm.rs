//! No lost response leaves a sandbox behind, or creates two. The long form is
//! `cargo run --release -p examples --example safe_creation`.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "a failure is reproduced by its seed, so each seed is printed"
)]

use examples::safe_creation::{Random500s, Storm};

fn pass(callers_go: bool, listing_lags: bool) {
    for seed in 1..=2 {
        let storm = Storm { creations: 1_000, callers_go, listing_lags, seed };
        let report = storm.pass().unwrap();
        println!("{storm:?}: {report:?}");
        assert!(report.is_clean(), "{storm:?}: {report:#?}");
        let errors: u64 = report.errors.values().sum();
        assert_eq!(report.got + report.went + errors, 1_000, "{storm:?}: {report:#?}");
        assert!(report.unknown * 6 > report.attempts, "too few faults: {report:#?}");
        assert!(report.creations.adopted > 10 && report.creations.killed > 10, "{report:#?}");
        assert_eq!(report.creations.abandoned, 0, "{report:#?}");
        // Of the callers that stayed, nearly all got a sandbox.
        assert!(errors * 10 < report.got, "{storm:?}: {report:#?}");
    }
}

#[test]
fn of_a_thousand_creations_with_unknown_results_nothing_is_left_behind() {
    pass(false, false);
}

#[test]
fn nothing_is_left_behind_when_callers_go_away_at_any_moment() {
    pass(true, false);
}

#[test]
fn nothing_is_left_behind_when_the_listing_lags() {
    pass(false, true);
    pass(true, true);
}

#[test]
fn at_most_one_in_a_hundred_users_sees_a_random_500() {
    let seen = Random500s::run(2_000, 1).unwrap();
    println!("{seen:?}");
    assert!(seen.bare > 150, "too few faults: {seen:?}");
    assert!(seen.stack * 100 <= seen.bare, "{seen:?}");
    assert!(seen.stack_failed * 100 <= seen.bare, "{seen:?}");
    assert_eq!(seen.leaked, 0, "{seen:?}");
}
