//! The tables at the end.

use std::fmt;

use sandtower_load::{Figures, PolicyReport, Tenants};

/// The policies of one scenario side by side.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [PolicyReport]);

/// Many scenarios as a Markdown table: the median of each figure, and the worst seed in brackets.
#[derive(Debug)]
pub struct Summary<'a>(pub &'a [PolicyReport]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = GLANCE.map(|(head, _)| head).join(" | ");
        writeln!(f, "| scenario | policy | {heads} |")?;
        writeln!(f, "|---|---|{}", "---|".repeat(GLANCE.len()))?;
        for policy in self.0 {
            let cells = GLANCE.map(|(_, tell)| both(policy, tell)).join(" | ");
            let Figures { scenario, policy, .. } = &policy.median;
            writeln!(f, "| {scenario} | {policy} | {cells} |")?;
        }
        Ok(())
    }
}

const GLANCE: [Line; 7] = [
    ("succeeded", |f| format!("{:.1} %", 100.0 * f.success())),
    ("99 % within", |f| time(f.p99_ms)),
    ("slowest", |f| time(f.max_ms)),
    ("creations sent for one", |f| format!("{:.2}", f.amplification)),
    ("left behind", |f| count(f.leaked_sandboxes)),
    ("zombies", |f| count(f.zombies_handed_out)),
    ("recovered after", |f| time(f.recovery_ms)),
];

type Line = (&'static str, fn(&Figures) -> String);

const LINES: &[Line] = &[
    ("queries succeeded", |f| format!("{} of {}", count(f.succeeded), count(f.calls + f.dropped))),
    ("  of the rest, rejected", |f| count(f.rejected)),
    ("executions that succeed", |f| {
        let all = f.executions_done + f.executions_failed;
        format!("{:.0} % of {}", 100.0 * f.executions_done / all.max(1.0), count(all))
    }),
    ("retries", |f| count(f.retries)),
    ("creations sent for one", |f| format!("{:.2}", f.amplification)),
    ("sandboxes left behind", |f| count(f.leaked_sandboxes)),
    ("zombies returned", |f| count(f.zombies_handed_out)),
    ("p50", |f| time(f.p50_ms)),
    ("p99", |f| time(f.p99_ms)),
    ("slowest success", |f| time(f.max_ms)),
];

type TenantsLine = (&'static str, fn(&Tenants) -> String);

const TENANTS: &[TenantsLine] = &[
    ("least throughput of the others", |t| format!("{:.1} %", 100.0 * t.others_throughput_worst)),
    ("their p99 wait, in service times", |t| {
        t.others_wait_p99_ratio.map_or(NONE.to_owned(), |ratio| format!("{ratio:.2}"))
    }),
    ("throughput of the greedy tenant", |t| format!("{:.1} %", 100.0 * t.greedy_throughput)),
    ("Jain's index of the others", |t| format!("{:.3}", t.jain)),
];

/// The most rows for queries.
const QUERIES: usize = 30;

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.0;
        let mut rows = vec![row("", policies, |policy| policy.median.policy.clone())];
        for (label, tell) in LINES {
            rows.push(row(label, policies, |policy| both(policy, *tell)));
        }
        if policies.iter().any(|policy| policy.median.recovery_ms.is_some()) {
            let recovery = |f: &Figures| f.recovery_ms.map_or("never".to_owned(), seconds);
            rows.push(row("recovered after", policies, |policy| both(policy, recovery)));
        }
        if policies.iter().any(|policy| policy.median.tenants.is_some()) {
            for (label, tell) in TENANTS {
                let tell = |f: &Figures| f.tenants.as_ref().map_or(NONE.to_owned(), tell);
                rows.push(row(label, policies, |policy| both(policy, tell)));
            }
        }
        let queries = policies.first().map_or(0, |policy| policy.queries.len());
        if (1..=QUERIES).contains(&queries) {
            rows.push(Vec::new());
            rows.push(row("each query", policies, |_| String::new()));
            rows.extend((0..queries).map(|at| query(policies, at)));
        }
        write_rows(f, &rows)?;
        if policies.iter().any(|policy| policy.median.seeds > 1) {
            let each =
                if (1..=QUERIES).contains(&queries) { ", whose queries these are" } else { "" };
            writeln!(f, "\nThe median of all seeds, and in brackets the worst one{each}:")?;
            for PolicyReport { median, worst, .. } in policies {
                writeln!(f, "  {}: seed {}", median.policy, worst.seed)?;
            }
        }
        Ok(())
    }
}

/// The median, and the worst seed if there are several.
fn both(policy: &PolicyReport, tell: impl Fn(&Figures) -> String) -> String {
    let median = tell(&policy.median);
    let worst = tell(&policy.worst.figures);
    match policy.median.seeds {
        0 | 1 => median,
        _ if median == NONE && worst == NONE => median,
        _ => format!("{median} ({worst})"),
    }
}

fn row(
    label: &str,
    policies: &[PolicyReport],
    tell: impl Fn(&PolicyReport) -> String,
) -> Vec<String> {
    std::iter::once(label.to_owned()).chain(policies.iter().map(tell)).collect()
}

fn query(policies: &[PolicyReport], at: usize) -> Vec<String> {
    let first = &policies[0].queries[at];
    let label = format!("  user {}, query {}", first.user, first.number);
    row(&label, policies, |policy| match policy.queries.get(at) {
        None => String::new(),
        Some(query) => {
            let took = seconds(query.took_ms);
            match (query.outcome.as_str(), query.failures) {
                ("succeeded", 0) => took,
                ("succeeded", failures) => format!("{failures} failed   {took}"),
                _ => format!("failed   {took}"),
            }
        }
    })
}

fn write_rows(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("   {cell:>width$}") }
        });
        writeln!(f, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}

fn count(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Shown for a duration that is unknown.
const NONE: &str = "-";

fn time(ms: Option<f64>) -> String {
    ms.map_or(NONE.to_owned(), seconds)
}

fn seconds(ms: f64) -> String {
    match ms {
        ms if ms < 1e3 => format!("{ms:.0} ms"),
        ms if ms < 10e3 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}
