//! All that is measured: ours beside what others have for the same purpose.

mod e2b;
mod floors;
mod ours;
mod peers;

use crate::bare::Bare;
use crate::case::Case;

/// Cases for one purpose.
#[derive(Debug)]
pub struct Group {
    /// What for.
    pub title: &'static str,
    /// Ours first.
    pub cases: Vec<Case>,
}

/// The case that all others are compared with.
pub const BARE: &str = "bare";

/// All cases. They are made and run [within a runtime](crate::runtime::within).
pub fn all() -> Vec<Group> {
    let group = |title, cases| Group { title, cases };
    vec![
        group("nothing", vec![Case::shared(BARE, Bare)]),
        group(
            "retry, with a budget",
            vec![ours::retry(), peers::resilience_retry(), peers::tower_retry()],
        ),
        group(
            "circuit breaker, closed",
            vec![
                ours::circuit_breaker(),
                peers::resilience_circuit_breaker(),
                peers::failsafe(),
                peers::recloser(),
            ],
        ),
        group(
            "circuit breaker, open: a rejection",
            vec![
                ours::circuit_breaker_open(),
                peers::resilience_circuit_breaker_open(),
                peers::failsafe_open(),
                peers::recloser_open(),
            ],
        ),
        group(
            "rate limit",
            vec![
                ours::rate_limit(),
                ours::rate_limit_over(),
                peers::resilience_rate_limit(),
                peers::tower_rate_limit(),
                peers::governor(),
                peers::governor_std(),
            ],
        ),
        group(
            "admission",
            vec![
                ours::admission(),
                peers::resilience_bulkhead(),
                peers::tower_concurrency_limit(),
                peers::tower_buffer(),
            ],
        ),
        group("health check", vec![ours::health_check(), ours::health_check_other()]),
        group("fallback", vec![ours::fallback()]),
        group("timeout", vec![ours::timeout(), peers::tower_timeout()]),
        group(
            "stacks",
            vec![
                ours::layers(),
                ours::stack(),
                ours::stack_paced(),
                peers::resilience_stack(),
                peers::tower_stack(),
            ],
        ),
        group(
            "calls of E2B, over HTTP",
            vec![
                e2b::request(),
                e2b::get(),
                e2b::observed(),
                e2b::durations(),
                e2b::explained(),
                e2b::traced(),
                e2b::envd(),
            ],
        ),
        group("what it is made of", floors::all()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::runtime;

    #[test]
    fn every_case_runs_twice_from_one_start_and_again_from_another() {
        runtime::within(|| {
            for case in all().iter().flat_map(|group| &group.cases) {
                let mut runner = case.start();
                runner(1);
                runner(2);
                case.start()(1);
            }
        });
    }

    #[test]
    fn no_two_cases_have_one_name() {
        let mut seen = HashSet::new();
        for case in runtime::within(all).iter().flat_map(|group| &group.cases) {
            assert!(seen.insert(case.name()), "{}", case.name());
        }
    }
}
