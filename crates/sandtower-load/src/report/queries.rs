//! A row for each query, and for each seed.

use super::headline::time;
use super::text::{Escaped, duration, number, percent, share, shortened};
use crate::{PolicyReport, Query, SeedFigures};

/// Further rows are in `report.json`.
const MOST: usize = 48;

/// The most characters of an error that are shown.
const LETTERS: usize = 140;

/// The longest query of all policies, so that bars can be compared.
pub(super) fn longest<'a>(policies: impl Iterator<Item = &'a PolicyReport>) -> f64 {
    policies.flat_map(|policy| &policy.queries).map(|query| query.took_ms).fold(0.0, f64::max)
}

/// Each query with its time, and its outcome if it is not plain success.
pub(super) fn table(policy: &PolicyReport, longest: f64) -> String {
    let queries = &policy.queries;
    if queries.is_empty() {
        return "<p class=\"note\">there were no queries</p>\n".to_owned();
    }
    let rows: String = queries.iter().take(MOST).map(|query| row(query, longest)).collect();
    format!(
        "<table class=\"queries\">\n<thead class=\"unseen\"><tr><th scope=\"col\">query</th>\
         <th scope=\"col\">time and outcome</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n{}",
        more(queries.len())
    )
}

fn row(query: &Query, longest: f64) -> String {
    let Query { user, number, took_ms, outcome, failures } = query;
    let succeeded = outcome == "succeeded";
    let class = if succeeded { "succeeded" } else { "failed" };
    let width = share(*took_ms, longest) * 100.0;
    let mut words = Vec::new();
    if !succeeded {
        words.push(shortened(outcome, LETTERS));
    }
    match failures {
        0 => {}
        1 => words.push("1 execution failed".to_owned()),
        _ => words.push(format!("{failures} executions failed")),
    }
    let words = match words.is_empty() {
        true => String::new(),
        false => format!("<small>{}</small>", Escaped(&words.join("; "))),
    };
    format!(
        "<tr><th scope=\"row\">user {user}, query {number}</th><td><div class=\"timed\">\
         <span class=\"track\"><span class=\"bar {class}\" style=\"width:{width:.1}%\"></span></span>\
         <span class=\"time\">{}</span></div>{words}</td></tr>\n",
        duration(*took_ms)
    )
}

/// The results of each seed.
pub(super) fn seeds(policy: &PolicyReport) -> String {
    let runs = &policy.runs;
    let rows: String = runs.iter().take(MOST).map(|run| seed(run, policy.worst.seed)).collect();
    format!(
        "<table class=\"seeds\">\n<thead><tr><th scope=\"col\">seed</th><th scope=\"col\">succeeded</th>\
         <th scope=\"col\">p99</th><th scope=\"col\">sent per request</th>\
         <th scope=\"col\">leaked</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n{}",
        more(runs.len())
    )
}

fn seed(run: &SeedFigures, worst: u64) -> String {
    let SeedFigures { seed, figures } = run;
    let mark = if *seed == worst { " <small>worst</small>" } else { "" };
    format!(
        "<tr><th scope=\"row\">{seed}{mark}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        percent(figures.succeeded, figures.calls),
        time(figures.p99_ms),
        number(figures.amplification),
        number(figures.leaked_sandboxes),
    )
}

fn more(all: usize) -> String {
    match all.saturating_sub(MOST) {
        0 => String::new(),
        left => format!("<p class=\"note\">and {left} more in report.json</p>\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(took_ms: f64, outcome: &str, failures: u32) -> Query {
        Query { user: 1, number: 2, took_ms, outcome: outcome.into(), failures }
    }

    #[test]
    fn a_plain_success_has_no_words() {
        let row = row(&query(30e3, "succeeded", 0), 60e3);
        assert!(row.contains("user 1, query 2") && row.contains("width:50.0%"), "{row}");
        assert!(row.contains("bar succeeded") && !row.contains("<small>"), "{row}");
    }

    #[test]
    fn a_failed_query_shows_its_error_and_cannot_break_the_page() {
        let row = row(&query(60e3, "failed: <503>", 2), 60e3);
        assert!(row.contains("bar failed"), "{row}");
        assert!(row.contains("<small>failed: &lt;503&gt;; 2 executions failed</small>"), "{row}");
    }

    #[test]
    fn many_queries_are_truncated_with_a_note() {
        let queries = vec![query(1.0, "succeeded", 0); 1_000];
        let table = table(&PolicyReport { queries, ..PolicyReport::default() }, 1.0);
        assert_eq!(table.matches("scope=\"row\"").count(), MOST);
        assert!(table.contains("and 952 more in report.json"), "{table}");
    }
}
