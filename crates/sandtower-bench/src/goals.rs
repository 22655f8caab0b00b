//! What our layers may cost at most.

use crate::cases::BARE;
use crate::report::{Row, find};

/// The most that a case may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Which.
    pub case: &'static str,
    /// Nanoseconds over the bare service, at best.
    pub nanos: f64,
    /// Allocations of a call.
    pub allocs: f64,
    /// What a call on each of two threads may take, in times of a call on one.
    pub contention: Option<f64>,
}

/// Of a single layer, and of several.
pub const GOALS: &[Goal] = &[
    Goal { case: "sandtower/retry", nanos: 15.0, allocs: 0.0, contention: None },
    Goal { case: "sandtower/circuit-breaker", nanos: 75.0, allocs: 0.0, contention: Some(3.0) },
    Goal { case: "sandtower/circuit-breaker-open", nanos: 60.0, allocs: 1.0, contention: None },
    Goal { case: "sandtower/rate-limit", nanos: 50.0, allocs: 0.0, contention: None },
    Goal { case: "sandtower/layers", nanos: 160.0, allocs: 0.0, contention: Some(3.0) },
    Goal { case: "sandtower/stack", nanos: 120.0, allocs: 0.0, contention: Some(3.0) },
];

/// One number and what it may be at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Of which case.
    pub case: &'static str,
    /// Which number.
    pub what: &'static str,
    /// What it is.
    pub is: f64,
    /// The most that it may be.
    pub at_most: f64,
}

impl Finding {
    /// Whether the goal is met.
    pub fn is_met(&self) -> bool {
        self.is <= self.at_most
    }
}

/// What `rows` say about each goal; nothing about cases that were not measured.
pub fn findings(rows: &[Row]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &Goal { case, nanos, allocs, contention } in GOALS {
        let mut find_out = |what, is: Option<f64>, at_most| {
            findings.extend(is.map(|is| Finding { case, what, is, at_most }));
        };
        let (one, two) = (find(rows, case, 1), find(rows, case, 2));
        let over = one.zip(find(rows, BARE, 1)).map(|(one, bare)| one.ns_min - bare.ns_min);
        find_out("ns over bare", over, nanos);
        find_out("allocations", one.map(|one| one.allocs), allocs);
        if let Some(most) = contention {
            let times = one.zip(two).map(|(one, two)| two.ns_min / one.ns_min);
            find_out("times one thread, on two", times, most);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn a_goal_is_compared_with_the_minimum_over_the_bare_service() {
        let rows = [row(BARE, 1, 2.0, 0.0), row("sandtower/retry", 1, 17.0, 1.0)];
        let findings = findings(&rows);
        assert_eq!(findings.len(), 2);
        assert_eq!((findings[0].is, findings[0].is_met()), (15.0, true));
        assert_eq!((findings[1].is, findings[1].is_met()), (1.0, false));
    }

    #[test]
    fn two_threads_are_compared_with_one() {
        let rows = [row("sandtower/stack", 1, 100.0, 0.0), row("sandtower/stack", 2, 310.0, 0.0)];
        let times = findings(&rows).pop().unwrap();
        assert_eq!((times.is, times.is_met()), (3.1, false));
    }

    #[test]
    fn every_goal_is_for_a_case() {
        let all = crate::runtime::within(crate::cases::all);
        let cases: Vec<_> = all.into_iter().flat_map(|group| group.cases).collect();
        for goal in GOALS {
            assert!(cases.iter().any(|case| case.name() == goal.case), "{}", goal.case);
        }
    }
}
