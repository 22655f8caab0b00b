//! No lost answer leaves a sandbox behind, nor makes two. The long form is
//! `cargo run --release --example safe_creation`.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]
#![expect(clippy::print_stdout, reason = "a failure found once is a seed: each seed is told")]

use examples::safe_creation::{Random500s, Storm};

fn pass(callers_go: bool, listing_lags: bool) {
    for seed in 1..=2 {
        let storm = Storm { creations: 1_000, callers_go, listing_lags, seed };
        let report = storm.pass().unwrap();
        println!("{storm:?}: {report:?}");
        assert!(report.is_clean(), "{storm:?}: {report:#?}");
        let errors: u64 = report.errors.values().sum();
        assert_eq!(report.got + report.went + errors, 1_000, "{storm:?}: {report:#?}");
        assert!(report.unknown * 6 > report.attempts, "too fair: {report:#?}");
        assert!(report.creations.adopted > 10 && report.creations.killed > 10, "{report:#?}");
        assert_eq!(report.creations.abandoned, 0, "{report:#?}");
        // Of those who stayed, nearly all got theirs.
        assert!(errors * 10 < report.got, "{storm:?}: {report:#?}");
    }
}

#[test]
fn of_a_thousand_creations_with_unknown_results_nothing_is_left_behind() {
    pass(false, false);
}

#[test]
fn nothing_is_left_behind_when_callers_go_at_any_moment() {
    pass(true, false);
}

#[test]
fn nothing_is_left_behind_when_the_listing_lags() {
    pass(false, true);
    pass(true, true);
}

#[test]
fn of_random_500s_users_hear_one_in_a_hundred_at_most() {
    let seen = Random500s::run(2_000, 1).unwrap();
    println!("{seen:?}");
    assert!(seen.bare > 150, "too fair: {seen:?}");
    assert!(seen.stack * 100 <= seen.bare, "{seen:?}");
    assert!(seen.stack_failed * 100 <= seen.bare, "{seen:?}");
    assert_eq!(seen.leaked, 0, "{seen:?}");
}
