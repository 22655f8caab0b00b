//! How many tests there were, read from what `cargo test` prints.

use std::ops::AddAssign;

/// What a test that could not run prints, with the reason after it, before it passes.
pub(crate) const LEFT_OUT: &str = "left out: ";

/// Tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Ignored, or left out by their own word.
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts = Self::default();
        let mut left_out = 0;
        for line in lines {
            counts += of_result(line);
            left_out += u64::from(reason(line).is_some());
        }
        counts.passed = counts.passed.saturating_sub(left_out);
        counts.skipped += left_out;
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Why a test left itself out, if this line says so; it may follow the name of the test.
pub(crate) fn reason(line: &str) -> Option<&str> {
    let said = match line.strip_prefix("test ") {
        Some(named) => named.split_once(" ... ")?.1,
        None => line,
    };
    said.strip_prefix(LEFT_OUT)
}

fn of_result(line: &str) -> Counts {
    let mut counts = Counts::default();
    let Some(result) = line.strip_prefix("test result:") else { return counts };
    for part in result.split(['.', ';']) {
        let mut words = part.split_whitespace();
        let Some(Ok(number)) = words.next().map(str::parse) else { continue };
        match words.next() {
            Some("passed") => counts.passed = number,
            Some("failed") => counts.failed = number,
            Some("ignored") => counts.skipped = number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> (u64, u64, u64) {
        let Counts { passed, failed, skipped } = Counts::of(text.lines());
        (passed, failed, skipped)
    }

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let printed = "
running 3 tests
test a ... ok
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s
   Doc-tests sandtower
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.52s
";
        assert_eq!(counts(printed), (13, 2, 1));
    }

    #[test]
    fn a_result_in_colour_counts() {
        assert_eq!(
            counts("test result: \u{1b}[32mok\u{1b}[m. 4 passed; 1 failed; 0 ignored"),
            (4, 1, 0)
        );
    }

    #[test]
    fn a_test_that_left_itself_out_has_not_passed() {
        let printed = "
left out: the Python SDK: no python
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(counts(printed), (2, 0, 1));
    }

    #[test]
    fn a_reason_may_follow_the_name_of_its_test() {
        assert_eq!(reason("test python ... left out: no venv"), Some("no venv"));
        assert_eq!(reason("left out: no venv"), Some("no venv"));
        assert_eq!(reason("test left_out ... ok"), None);
        assert_eq!(reason("warning: something was left out: a comma"), None);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            counts("5 passed; 5 failed\n  test result: ok. 1 passed\ntest result: gone"),
            (0, 0, 0)
        );
    }
}
