//! What was measured, as rows and as a table.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cases::BARE;
use crate::goals::{Finding, findings};

/// What a call of one case costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub case: &'static str,
    /// How many threads made calls at a time.
    pub threads: usize,
    /// Nanoseconds of a call on each of them, in the best round.
    pub ns_min: f64,
    /// The same, in the middle one.
    pub ns_median: f64,
    /// Allocations of a call, on one thread.
    pub allocs: f64,
}

/// The row of `case` for so many threads.
pub fn find<'a>(rows: &'a [Row], case: &str, threads: usize) -> Option<&'a Row> {
    rows.iter().find(|row| row.case == case && row.threads == threads)
}

/// The names of cases for one purpose, under a title.
pub type Groups = Vec<(&'static str, Vec<&'static str>)>;

/// All that was measured, for people: by purpose, ours beside others; then which goals are met.
pub fn table(groups: &Groups, rows: &[Row]) -> String {
    let mut table = String::from(HEAD);
    for (title, cases) in groups {
        let lines: Vec<_> = cases.iter().filter_map(|case| line(rows, case)).collect();
        if !lines.is_empty() {
            table.push_str(title);
            table.push('\n');
            table.extend(lines);
        }
    }
    let findings = findings(rows);
    if !findings.is_empty() {
        table.push_str("\ngoals\n");
        table.extend(findings.iter().map(verdict));
    }
    table
}

const HEAD: &str = "\
ns a call                                    one thread                          two threads, each
                                          min  median  over bare  allocs      min   median  times one
";

fn line(rows: &[Row], case: &str) -> Option<String> {
    let one = find(rows, case, 1)?;
    let mut line = format!("  {case:<37}{:>6.1}  {:>6.1}", one.ns_min, one.ns_median);
    let over = find(rows, BARE, 1).filter(|_| case != BARE);
    let over = over.map_or("-".to_owned(), |bare| format!("{:.1}", one.ns_min - bare.ns_min));
    // Writing to a string does not fail.
    let _ = write!(line, "  {over:>9}  {:>6}", short(one.allocs));
    if let Some(two) = find(rows, case, 2) {
        let times = two.ns_min / one.ns_min;
        let _ = write!(line, "  {:>7.1}  {:>7.1}  {times:>9.1}", two.ns_min, two.ns_median);
    }
    line.push('\n');
    Some(line)
}

/// Whole numbers without a point.
fn short(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

fn verdict(finding: &Finding) -> String {
    let Finding { case, what, is, at_most } = finding;
    let met = if finding.is_met() { "met" } else { "MISSED" };
    let is = if *what == "allocations" { short(*is) } else { format!("{is:.1}") };
    format!("  {met:<8}{case:<33}{is:>6} of {:<4} {what}\n", short(*at_most))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(case: &'static str, threads: usize, ns: f64, allocs: f64) -> Row {
        Row { case, threads, ns_min: ns, ns_median: ns * 1.5, allocs }
    }

    fn rows() -> Vec<Row> {
        vec![
            row(BARE, 1, 1.0, 0.0),
            row("sandtower/retry", 1, 21.0, 0.0),
            row("sandtower/retry", 2, 84.0, 0.0),
            row("other/retry", 1, 56.0, 2.25),
        ]
    }

    #[test]
    fn the_table_shows_ours_beside_others_and_what_was_missed() {
        let groups: Groups = vec![
            ("nothing", vec![BARE]),
            ("retry", vec!["sandtower/retry", "other/retry"]),
            ("not measured", vec!["sandtower/stack"]),
        ];
        let expected = "\
ns a call                                    one thread                          two threads, each
                                          min  median  over bare  allocs      min   median  times one
nothing
  bare                                    1.0     1.5          -       0
retry
  sandtower/retry                        21.0    31.5       20.0       0     84.0    126.0        4.0
  other/retry                            56.0    84.0       55.0    2.25

goals
  MISSED  sandtower/retry                    20.0 of 15   ns over bare
  met     sandtower/retry                       0 of 0    allocations
";
        assert_eq!(table(&groups, &rows()), expected);
    }

    #[test]
    fn rows_have_the_fields_that_others_read() {
        let json = serde_json::to_value(rows()).unwrap();
        assert_eq!(
            json[1],
            serde_json::json!({
                "case": "sandtower/retry", "threads": 1, "ns_min": 21.0, "ns_median": 31.5,
                "allocs": 0.0,
            }),
        );
    }
}
