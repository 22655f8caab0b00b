//! The summary: one sentence, and a table of the policies.

use super::text::{Escaped, counted, duration, number, percent, share};
use crate::statistics::never;
use crate::{Figures, PolicyReport};

/// The best policy in words, and where another was better.
pub(super) fn sentence(policies: &[&PolicyReport]) -> String {
    let Some(best) = best(policies) else { return String::new() };
    let figures = &best.median;
    let name = |figures: &Figures| format!("<strong>{}</strong>", Escaped(&figures.policy));
    let lead = if policies.len() > 1 { "Best here: " } else { "" };
    let mut said = format!("{lead}{}: {}", name(figures), achieved(figures));
    let faster: Vec<_> = policies
        .iter()
        .map(|policy| &policy.median)
        .filter(|other| never(other.p99_ms) < never(figures.p99_ms))
        .map(|other| {
            let calls = counted(other.succeeded, "call", "calls");
            format!("{} ({} over {calls})", name(other), time(other.p99_ms))
        })
        .collect();
    if !faster.is_empty() {
        said += &format!(" A lower p99 over fewer calls: {}.", faster.join(", "));
    }
    format!("<p class=\"lead\">{said}</p>\n")
}

/// By success, then by p99, then by the requests sent.
fn best<'a>(policies: &[&'a PolicyReport]) -> Option<&'a PolicyReport> {
    policies.iter().copied().min_by(|one, other| {
        let [one, other] = [&one.median, &other.median];
        let success = |figures: &Figures| share(figures.succeeded, figures.calls);
        success(other)
            .total_cmp(&success(one))
            .then(never(one.p99_ms).total_cmp(&never(other.p99_ms)))
            .then(one.amplification.total_cmp(&other.amplification))
    })
}

fn achieved(figures: &Figures) -> String {
    if figures.calls <= 0.0 {
        return "there were no calls.".to_owned();
    }
    let succeeded = of(figures.succeeded, figures.calls);
    if figures.succeeded <= 0.0 {
        return format!("{succeeded} calls succeeded.");
    }
    let sent = match figures.amplification {
        0.0 => String::new(),
        sent => {
            format!("{} sent per creation requested; ", counted(sent, "creation", "creations"))
        }
    };
    let left = match figures.leaked_sandboxes {
        0.0 => "no sandbox".to_owned(),
        leaked => counted(leaked, "sandbox", "sandboxes"),
    };
    format!(
        "{succeeded} calls succeeded, 99 % of them within {}; {sent}{left} left behind.",
        time(figures.p99_ms),
    )
}

fn of(part: f64, whole: f64) -> String {
    format!("{} of {}", number(part), number(whole))
}

/// Shown for an unknown figure.
const UNKNOWN: &str = "–";

/// One figure of the table.
struct Column {
    head: &'static str,
    meaning: &'static str,
    cell: fn(&Figures) -> String,
}

const COLUMNS: [Column; 9] = [
    Column {
        head: "succeeded",
        meaning: "calls that succeeded, as a share of all calls",
        cell: |figures| percent(figures.succeeded, figures.calls),
    },
    Column {
        head: "calls",
        meaning: "the same as a number",
        cell: |figures| of(figures.succeeded, figures.calls),
    },
    Column {
        head: "rejected",
        meaning: "calls that one of our layers rejected",
        cell: |figures| number(figures.rejected),
    },
    Column {
        head: "p50",
        meaning: "median latency of the calls that succeeded",
        cell: |f| time(f.p50_ms),
    },
    Column { head: "p99", meaning: "99th percentile of the latency", cell: |f| time(f.p99_ms) },
    Column {
        head: "sent per request",
        meaning: "creations sent to the service per creation requested",
        cell: |figures| number(figures.amplification),
    },
    Column {
        head: "leaked",
        meaning: "orphaned sandboxes that were left running",
        cell: |figures| number(figures.leaked_sandboxes),
    },
    Column {
        head: "zombies",
        meaning: "dead sandboxes returned to callers",
        cell: |figures| number(figures.zombies_handed_out),
    },
    Column {
        head: "recovery",
        meaning: "from the end of the fault until 95 % of new calls succeed",
        cell: |figures| time(figures.recovery_ms),
    },
];

pub(super) fn time(ms: Option<f64>) -> String {
    ms.map_or(UNKNOWN.to_owned(), duration)
}

/// A row for each policy: the median over its seeds, and the worst seed below.
pub(super) fn table(policies: &[&PolicyReport]) -> String {
    let heads: String = COLUMNS
        .iter()
        .map(|Column { head, meaning, .. }| {
            format!("<th scope=\"col\" role=\"columnheader\"><abbr title=\"{meaning}\">{head}</abbr></th>")
        })
        .collect();
    let rows: String = policies.iter().map(|policy| row(policy)).collect();
    // Narrow windows show the rows as cards; the roles keep the meaning of a table.
    format!(
        "<table class=\"headline\" role=\"table\">\n<caption class=\"unseen\">The policies side by \
         side</caption>\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">policy</th>\
         {heads}</tr></thead>\n<tbody role=\"rowgroup\">\n{rows}</tbody></table>\n"
    )
}

fn row(policy: &PolicyReport) -> String {
    let PolicyReport { median, worst, runs, .. } = policy;
    let compare = runs.len() > 1;
    let cells: String = COLUMNS
        .iter()
        .map(|Column { head, cell, .. }| {
            let (figure, worst) = (cell(median), cell(&worst.figures));
            let worst = match compare && [&figure, &worst] != [UNKNOWN; 2] {
                true => format!("<small>{worst}</small>"),
                false => String::new(),
            };
            format!("<td role=\"cell\" data-head=\"{head}\"><b>{figure}</b>{worst}</td>")
        })
        .collect();
    let succeeded = share(median.succeeded, median.calls) * 100.0;
    let note = match compare {
        true => format!("<small>worst, seed {}</small>", worst.seed),
        false => String::new(),
    };
    format!(
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\"><b>{}</b>{note}<span class=\"track\">\
         <span class=\"bar succeeded\" style=\"width:{succeeded:.1}%\"></span></span></th>{cells}</tr>\n",
        Escaped(&median.policy),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeedFigures;

    fn policy(name: &str, succeeded: f64, p99_ms: f64) -> PolicyReport {
        let median = Figures {
            policy: name.into(),
            calls: 12.0,
            succeeded,
            p99_ms: (succeeded > 0.0).then_some(p99_ms),
            amplification: 1.0,
            ..Figures::default()
        };
        let worst = SeedFigures { seed: 7, figures: median.clone() };
        PolicyReport { median, worst, ..PolicyReport::default() }
    }

    #[test]
    fn success_counts_before_speed_and_where_another_is_faster_is_said() {
        let (good, fast) = (policy("good", 12.0, 75e3), policy("fast", 3.0, 9e3));
        let said = sentence(&[&fast, &good]);
        assert!(
            said.contains("Best here: <strong>good</strong>: 12 of 12 calls succeeded"),
            "{said}"
        );
        assert!(
            said.contains("lower p99 over fewer calls: <strong>fast</strong> (9 s over 3 calls)."),
            "{said}"
        );
    }

    #[test]
    fn one_policy_is_not_called_the_best() {
        let said = sentence(&[&policy("<only>", 0.0, 0.0)]);
        assert_eq!(
            said,
            "<p class=\"lead\"><strong>&lt;only&gt;</strong>: 0 of 12 calls succeeded.</p>\n"
        );
        assert_eq!(sentence(&[]), "");
    }

    #[test]
    fn the_worst_seed_stands_beside_the_median_if_there_were_several() {
        let mut policy = policy("p", 12.0, 75e3);
        assert!(!table(&[&policy]).contains("worst, seed"));
        policy.runs = vec![policy.worst.clone(), policy.worst.clone()];
        policy.worst.figures.succeeded = 6.0;
        let table = table(&[&policy]);
        assert!(table.contains("worst, seed 7"), "{table}");
        assert!(table.contains("<b>100 %</b><small>50 %</small>"), "{table}");
    }
}
