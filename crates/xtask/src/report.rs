//! The results of the steps, and their summary.

use std::time::Duration;

use crate::counts::Counts;

/// How one step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Passed,
    Failed,
    LeftOut,
}

/// What came of one step.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) step: &'static str,
    pub(crate) end: End,
    pub(crate) tests: Counts,
    /// Why something was left out, though the step may have passed.
    pub(crate) left_out: Vec<String>,
}

/// What came of all steps.
#[derive(Debug)]
pub(crate) struct Report {
    outcomes: Vec<Outcome>,
    took: Duration,
}

impl Report {
    pub(crate) fn new(outcomes: Vec<Outcome>, took: Duration) -> Self {
        Self { outcomes, took }
    }

    /// Whether all is well; in CI nothing may be left out.
    pub(crate) fn passed(&self, ci: bool) -> bool {
        self.count(End::Failed) == 0 && !(ci && self.is_partial())
    }

    /// The text to end with. Its last line is the plain one that programs look for.
    pub(crate) fn summary(&self, ci: bool) -> String {
        let mut summary = String::new();
        for outcome in &self.outcomes {
            if outcome.end == End::Failed {
                summary.push_str(&format!("failed: {}\n", outcome.step));
            }
            for reason in &outcome.left_out {
                summary.push_str(&format!("left out: {}: {reason}\n", outcome.step));
            }
        }
        if ci && self.is_partial() {
            summary.push_str("in CI nothing may be left out: this counts as failed\n");
        }
        summary + &self.steps_line() + "\n" + &self.tests_line()
    }

    fn steps_line(&self) -> String {
        let tests = self.tests();
        let mut line = format!(
            "{} steps passed, {} failed, {} left out; {} tests passed",
            self.count(End::Passed),
            self.count(End::Failed),
            self.count(End::LeftOut),
            tests.passed,
        );
        for (number, word) in [(tests.failed, "failed"), (tests.skipped, "left out")] {
            if number > 0 {
                line.push_str(&format!(", {number} {word}"));
            }
        }
        format!("{line} ({})", time(self.took))
    }

    fn tests_line(&self) -> String {
        let Counts { passed, failed, skipped } = self.tests();
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }

    fn tests(&self) -> Counts {
        let mut sum = Counts::default();
        for outcome in &self.outcomes {
            sum += outcome.tests;
        }
        sum
    }

    fn count(&self, end: End) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.end == end).count()
    }

    fn is_partial(&self) -> bool {
        self.outcomes.iter().any(|outcome| !outcome.left_out.is_empty())
    }
}

/// A time as people read it: `3.2s`, `2m 14s`.
pub(crate) fn time(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1}s", took.as_secs_f64()),
        seconds => format!("{}m {:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: &'static str, end: End) -> Outcome {
        Outcome { step, end, tests: Counts::default(), left_out: vec![] }
    }

    fn left_out(step: &'static str, end: End, reason: &str) -> Outcome {
        Outcome { left_out: vec![reason.to_owned()], ..outcome(step, end) }
    }

    fn report(outcomes: Vec<Outcome>) -> Report {
        Report::new(outcomes, Duration::from_secs(134))
    }

    #[test]
    fn all_passed() {
        let mut tests = outcome("tests", End::Passed);
        tests.tests.passed = 123;
        let report = report(vec![outcome("format", End::Passed), tests]);
        assert!(report.passed(true));
        assert_eq!(
            report.summary(true),
            "2 steps passed, 0 failed, 0 left out; 123 tests passed (2m 14s)\n\
             123 passed, 0 failed, 0 skipped"
        );
    }

    #[test]
    fn a_failed_step_is_named() {
        let mut tests = outcome("tests", End::Failed);
        tests.tests = Counts { passed: 5, failed: 2, skipped: 0 };
        let report = report(vec![outcome("format", End::Passed), tests]);
        assert!(!report.passed(false));
        assert_eq!(
            report.summary(false),
            "failed: tests\n\
             1 steps passed, 1 failed, 0 left out; 5 tests passed, 2 failed (2m 14s)\n\
             5 passed, 2 failed, 0 skipped"
        );
    }

    #[test]
    fn what_is_left_out_fails_in_ci_only_and_is_named() {
        let report = report(vec![left_out("python-sdk", End::LeftOut, "no network")]);
        assert!(report.passed(false));
        assert!(!report.passed(true));
        assert!(report.summary(false).starts_with("left out: python-sdk: no network\n0 steps"));
        assert!(report.summary(true).contains("counts as failed"));
    }

    #[test]
    fn a_test_that_is_left_out_fails_in_ci_though_its_step_passed() {
        let report = report(vec![left_out("tests", End::Passed, "1 ignored")]);
        assert!(report.passed(false));
        assert!(!report.passed(true));
    }

    #[test]
    fn times_are_short() {
        for (millis, text) in
            [(0, "0.0s"), (3_240, "3.2s"), (60_000, "1m 00s"), (3_723_000, "62m 03s")]
        {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }
}
