//! The page: a section for each scenario, with the policies side by side.

use super::legend::{Entry, legend};
use super::scale::Scale;
use super::slices::slices;
use super::text::{Escaped, counted};
use super::{gates, goodput, headline, latency, queries, slowest};
use crate::{PolicyReport, Report};

const STYLE: &str = include_str!("style.css");

/// The fill patterns of plots, so that colour alone carries no meaning.
const PATTERNS: &str = include_str!("patterns.svg");

pub(super) fn page(report: &Report) -> String {
    let scenarios = scenarios(report);
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    let title = format!("Load test: {}", names.join(", "));
    let body: String = match scenarios.is_empty() {
        true => "<p class=\"lead\">No policy was run.</p>\n".to_owned(),
        false => scenarios.iter().map(Scenario::section).collect(),
    };
    let widest = scenarios.iter().map(Scenario::columns).max().unwrap_or(1);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body class=\"of-{widest}\">\n{PATTERNS}{}<main>\n{body}</main>\n{FOOTER}\
         </body>\n</html>\n",
        Escaped(&title),
        contents(&scenarios),
    )
}

const FOOTER: &str = "<footer>\n<p>Latency counts from when a call was meant to start, over the \
    calls that succeeded. All figures and rows are in <code>report.json</code>, beside this \
    page.</p>\n</footer>\n";

/// The policies of one scenario.
struct Scenario<'a> {
    id: String,
    name: &'a str,
    policies: Vec<&'a PolicyReport>,
}

/// In the order in which they ran.
fn scenarios(report: &Report) -> Vec<Scenario<'_>> {
    let mut scenarios: Vec<Scenario<'_>> = Vec::new();
    for policy in &report.policies {
        let name = policy.median.scenario.as_str();
        match scenarios.iter_mut().find(|scenario| scenario.name == name) {
            Some(scenario) => scenario.policies.push(policy),
            None => {
                let id = format!("s{}", scenarios.len() + 1);
                scenarios.push(Scenario { id, name, policies: vec![policy] });
            }
        }
    }
    scenarios
}

/// The contents, if there is more than one section.
fn contents(scenarios: &[Scenario<'_>]) -> String {
    if scenarios.len() < 2 {
        return String::new();
    }
    let links: String = scenarios
        .iter()
        .map(|Scenario { id, name, .. }| {
            format!("<li><a href=\"#{id}\">{}</a></li>\n", Escaped(name))
        })
        .collect();
    format!("<nav aria-label=\"scenarios\"><ul>\n{links}</ul></nav>\n")
}

impl Scenario<'_> {
    fn section(&self) -> String {
        let Self { id, name, policies } = self;
        let parts: String = [
            self.latency(),
            self.goodput(),
            self.gates(),
            self.slowest(),
            self.queries(),
            self.seeds(),
        ]
        .concat();
        format!(
            "<section id=\"{id}\">\n<header>\n<h1>Load test: {}</h1>\n<p class=\"note\">{}</p>\n\
             </header>\n{}{}{parts}</section>\n",
            Escaped(name),
            Escaped(&self.setting()),
            headline::sentence(policies),
            headline::table(policies),
        )
    }

    /// How it was run, and which run is shown.
    fn setting(&self) -> String {
        let Some(first) = self.policies.first() else { return String::new() };
        let figures = &first.median;
        let seeds = match figures.seeds {
            0 | 1 => format!("seed {}", first.worst.seed),
            many => format!("median of {many} seeds; the plots show each policy's worst"),
        };
        let same = self.policies().all(|policy| policy.median.calls == figures.calls);
        let calls = match same {
            true => format!("{}, ", counted(figures.calls, "call", "calls")),
            false => String::new(),
        };
        format!("{calls}{} clock, {seeds}", figures.clock)
    }

    fn policies(&self) -> impl Iterator<Item = &PolicyReport> {
        self.policies.iter().copied()
    }

    /// One time axis for all policies, so that they can be compared.
    fn time(&self) -> Scale {
        let ends = self.policies().filter_map(|policy| slices(&policy.series, 1).pop());
        Scale::time(ends.map(|slice| slice.end_s).fold(0.0, f64::max))
    }

    fn latency(&self) -> String {
        let (time, up) = (self.time(), latency::scale(self.policies()));
        self.plots(
            "latency",
            "Latency over time",
            "Of the calls that succeeded, at the time when they ended. A slice of time has a mark for \
             each figure; point at one to read it.",
            &latency::LEGEND,
            |policy, id| latency::plot(policy, id, &time, &up),
        )
    }

    fn goodput(&self) -> String {
        let time = self.time();
        let rates = goodput::rates(self.policies(), &time);
        self.plots(
            "goodput",
            "Goodput against offered load",
            "The line: calls that were meant to start. The bars: calls that ended, and how. Where the \
             service keeps up, what succeeds follows the line.",
            &goodput::LEGEND,
            |policy, id| goodput::plot(policy, id, &time, &rates),
        )
    }

    fn gates(&self) -> String {
        let (time, up) = (self.time(), gates::scale(self.policies()));
        self.plots(
            "gates",
            "Breaker, limit and queue over time",
            "What stood between the calls and the service: how many creations were out, how many were \
             allowed to be, how many calls waited for their turn, and what the breaker said.",
            &gates::LEGEND,
            |policy, id| gates::plot(policy, id, &time, &up),
        )
    }

    fn slowest(&self) -> String {
        let entries = slowest::legend(self.policies());
        self.plots(
            "slowest",
            "Where the time of the slowest calls went",
            "Each bar is a call, from when it was meant to start to its end. Every policy has an axis of \
             its own, for the pieces are what counts here.",
            &entries,
            slowest::plot,
        )
    }

    fn queries(&self) -> String {
        if self.policies().all(|policy| policy.queries.is_empty()) {
            return String::new();
        }
        let longest = queries::longest(self.policies());
        self.side_by_side(
            "queries",
            "Each query",
            "From the query to its result.",
            "",
            |policy, _| queries::table(policy, longest),
        )
    }

    fn seeds(&self) -> String {
        if self.policies().all(|policy| policy.runs.len() < 2) {
            return String::new();
        }
        let words =
            "All randomness of a run comes from its seed: the same seed gives the same run.";
        self.side_by_side("seeds", "Each seed", words, "", |policy, _| queries::seeds(policy))
    }

    fn plots(
        &self,
        kind: &str,
        title: &str,
        words: &str,
        entries: &[Entry],
        plot: impl Fn(&PolicyReport, &str) -> String,
    ) -> String {
        self.side_by_side(kind, title, words, &legend(entries), plot)
    }

    /// The most policies with a style of their own; more share a layout.
    fn columns(&self) -> usize {
        self.policies.len().min(5)
    }

    /// A figure for each policy, and above them what is true of all.
    fn side_by_side(
        &self,
        kind: &str,
        title: &str,
        words: &str,
        legend: &str,
        content: impl Fn(&PolicyReport, &str) -> String,
    ) -> String {
        let figures: String = self
            .policies()
            .enumerate()
            .map(|(at, policy)| {
                let id = format!("{}-{kind}-{}", self.id, at + 1);
                format!(
                    "<figure>\n<figcaption>{}</figcaption>\n{}</figure>\n",
                    caption(policy),
                    content(policy, &id)
                )
            })
            .collect();
        format!(
            "<section>\n<h2>{title}</h2>\n<p class=\"note\">{words}</p>\n{legend}\
             <div class=\"side-by-side of-{}\">\n{figures}</div>\n</section>\n",
            self.columns()
        )
    }
}

fn caption(policy: &PolicyReport) -> String {
    let name = Escaped(&policy.median.policy);
    match policy.runs.len() {
        0 | 1 => name.to_string(),
        _ => format!("{name} <small>seed {}</small>", policy.worst.seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Figures, Query, Row, SeedFigures, SlowCall, Spent};

    fn policy(scenario: &str, policy: &str) -> PolicyReport {
        let median = Figures {
            scenario: scenario.into(),
            policy: policy.into(),
            clock: "virtual".into(),
            seeds: 1,
            calls: 1.0,
            ..Figures::default()
        };
        let worst = SeedFigures { seed: 1, figures: median.clone() };
        PolicyReport { median, worst, ..PolicyReport::default() }
    }

    fn of(policies: Vec<PolicyReport>) -> String {
        page(&Report { policies })
    }

    /// Every element that is opened is closed, in order.
    fn assert_balanced(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let body = page.split_once("<html").map_or(page, |(_, body)| body);
        for tag in body.split('<').skip(1) {
            let (inside, _) = tag.split_once('>').expect("a tag ends");
            let name = inside.split([' ', '/']).find(|name| !name.is_empty()).unwrap_or_default();
            match inside {
                _ if inside.starts_with('/') && name == "html" => {}
                _ if inside.starts_with('/') => assert_eq!(open.pop(), Some(name), "<{inside}>"),
                _ if inside.ends_with('/') || name == "meta" => {}
                _ => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn every_policy_has_each_of_the_plots_side_by_side() {
        let page = of(vec![policy("stress", "before"), policy("stress", "after")]);
        assert_balanced(&page);
        assert_eq!(page.matches("<svg class=\"plot\"").count(), 8);
        assert_eq!(page.matches("<div class=\"side-by-side of-2\">").count(), 4);
        assert_eq!(page.matches("<h1>").count(), 1);
        assert!(!page.contains("<nav"), "one scenario needs no contents");
    }

    #[test]
    fn scenarios_are_sections_and_are_listed() {
        let page = of(vec![policy("stress", "a"), policy("outage", "a"), policy("stress", "b")]);
        assert_balanced(&page);
        assert_eq!(page.matches("<h1>").count(), 2);
        assert!(page.contains("<a href=\"#s2\">outage</a>"), "{page}");
    }

    #[test]
    fn a_run_without_calls_says_so_in_every_plot() {
        let page = of(vec![policy("stress", "idle")]);
        for words in ["no call succeeded", "there were no calls", "no call ended"] {
            assert!(page.contains(words), "{words}");
        }
        assert!(of(vec![]).contains("No policy was run."));
    }

    #[test]
    fn data_cannot_inject_markup_into_the_page() {
        let evil = "</title><script>alert(1)</script>\"'&";
        let mut policy = policy(evil, evil);
        policy.median.clock = evil.into();
        policy.series = vec![Row { breaker: Some(evil.into()), ..Row::default() }];
        let parts = vec![Spent::default()];
        policy.slowest = vec![SlowCall { outcome: evil.into(), parts, ..SlowCall::default() }];
        policy.queries = vec![Query { outcome: evil.into(), ..Query::default() }];
        let page = of(vec![policy]);
        assert!(!page.contains("<script"), "{page}");
        assert_balanced(&page);
    }

    #[test]
    fn the_page_makes_no_requests_and_is_the_same_each_time() {
        let page = of(vec![policy("stress", "a")]);
        for fetching in ["src=", "<link", "<script", "@import", "url(http", "//"] {
            assert!(!page.contains(fetching), "{fetching}");
        }
        assert_eq!(page, of(vec![policy("stress", "a")]));
    }

    #[test]
    fn a_huge_run_makes_a_page_that_a_browser_can_show() {
        let mut policy = policy("stress", "huge");
        let row = |at: u32| Row {
            t_s: f64::from(at),
            offered: 9,
            succeeded: 9,
            p50_ms: Some(f64::from(at)),
            p99_ms: Some(f64::from(at) * 2.0),
            max_ms: Some(f64::from(at) * 3.0),
            breaker: Some("closed".into()),
            ..Row::default()
        };
        policy.series = (0..10_000).map(row).collect();
        let page = of(vec![policy]);
        assert!(page.len() < 150_000, "{} bytes", page.len());
    }
}
