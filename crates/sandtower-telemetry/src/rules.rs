//! When to alert, once: the rules for Prometheus and the evaluation in the process come from here.

use std::fmt::Write as _;
use std::time::Duration;

/// An alert.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// The name of the alert.
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// One sentence on what is wrong.
    pub summary: &'static str,
    /// What must hold.
    pub when: Condition,
    /// For how long it must hold before the alert fires.
    pub hold: Duration,
    /// For how long it must no longer hold before the alert is resolved: a value that moves around its
    /// threshold is one alert.
    pub keep: Duration,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Severity {
    /// Look at it in working hours.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The value of the label `severity`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What must hold for an alert, for the series of one set of labels.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// A gauge has this value. The label and value choose among its series, if they are not empty.
    Is {
        /// The gauge.
        metric: &'static str,
        /// A label and its value.
        only: Option<(&'static str, &'static str)>,
        /// What it is.
        value: f64,
    },
    /// One gauge is more than a share of another with the same labels.
    Share {
        /// The gauge.
        of: &'static str,
        /// The other.
        limit: &'static str,
        /// The share: 0.9 is 90 %.
        above: f64,
    },
    /// A counter grew by more than a number.
    Grew {
        /// The counter.
        metric: &'static str,
        /// In what time.
        within: Duration,
        /// By more than this.
        by_more_than: f64,
    },
    /// A counter grew by more than a share of what another grew, which grew by a least number.
    GrewByShare {
        /// The counter.
        of: &'static str,
        /// The other.
        all: &'static str,
        /// In what time.
        within: Duration,
        /// The share: 0.05 is 5 %.
        above: f64,
        /// The least growth of the other: a share of a few is noise.
        at_least: f64,
    },
}

const OPERATIONS: &str = "https://github.com/sandtower/sandtower/blob/main/docs/operations.md";

const MINUTE: u64 = 60;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * MINUTE)
}

const fn share(of: &'static str, limit: &'static str, above: f64) -> Condition {
    Condition::Share { of, limit, above }
}

const fn grew(metric: &'static str, within: Duration) -> Condition {
    Condition::Grew { metric, within, by_more_than: 0.0 }
}

const ATTEMPTS: &str = "sandtower_rate_limit_attempts";
const LIMIT: &str = "sandtower_rate_limit_limit";

/// All alerts. Each has a section in `docs/operations.md`.
pub const RULES: &[Rule] = &[
    Rule {
        name: "SandtowerBreakerNotClosed",
        severity: Severity::Critical,
        summary: "A circuit breaker has not been closed for 5 minutes.",
        // An open breaker is half-open again and again: "open for 5 minutes" would never hold.
        when: Condition::Is {
            metric: "sandtower_circuit_breaker_state",
            only: Some(("state", "closed")),
            value: 0.0,
        },
        hold: minutes(5),
        keep: minutes(1),
    },
    Rule {
        name: "SandtowerCreationsFailing",
        severity: Severity::Warning,
        summary: "More than 10 creations failed for good within an hour.",
        when: Condition::Grew {
            metric: "sandtower_creations_failed_total",
            within: minutes(60),
            by_more_than: 10.0,
        },
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerCriticalFailures",
        severity: Severity::Critical,
        summary: "More than 5 % of creations failed for good within 15 minutes.",
        when: Condition::GrewByShare {
            of: "sandtower_creations_failed_total",
            all: "sandtower_creations_started_total",
            within: minutes(15),
            above: 0.05,
            at_least: 20.0,
        },
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerRateLimitHigh",
        severity: Severity::Warning,
        summary: "An operation has used more than 80 % of its limit within the window.",
        when: share(ATTEMPTS, LIMIT, 0.8),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerRateLimitCritical",
        severity: Severity::Critical,
        summary: "An operation has used more than 90 % of its limit within the window.",
        when: share(ATTEMPTS, LIMIT, 0.9),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerQuotaHigh",
        severity: Severity::Warning,
        summary: "More than 80 % of the sandboxes that the plan allows are in use.",
        when: share("sandtower_quota_in_use", "sandtower_quota_limit", 0.8),
        hold: minutes(1),
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerQuotaCritical",
        severity: Severity::Critical,
        summary: "More than 90 % of the sandboxes that the plan allows are in use.",
        when: share("sandtower_quota_in_use", "sandtower_quota_limit", 0.9),
        hold: minutes(1),
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerQueueStanding",
        severity: Severity::Warning,
        summary: "A queue has not drained for a minute: calls arrive faster than they are admitted.",
        when: Condition::Is {
            metric: "sandtower_admission_queue_standing",
            only: None,
            value: 1.0,
        },
        hold: minutes(1),
        keep: minutes(2),
    },
    Rule {
        name: "SandtowerSandboxesAbandoned",
        severity: Severity::Critical,
        summary: "Cleanup of orphaned sandboxes did not finish: sandboxes may be left behind.",
        when: grew("sandtower_tracker_abandoned_total", minutes(60)),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerProbeLeaseExpiring",
        severity: Severity::Warning,
        summary: "Probes of a circuit breaker take longer than their lease.",
        when: grew("sandtower_circuit_breaker_expired_probes_total", minutes(10)),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerStoreDegraded",
        severity: Severity::Warning,
        summary: "The store of a rate limit is unavailable: each process counts alone.",
        when: Condition::Is {
            metric: "sandtower_rate_limit_store_available",
            only: None,
            value: 0.0,
        },
        hold: minutes(1),
        keep: minutes(1),
    },
    Rule {
        name: "SandtowerFallbackInUse",
        severity: Severity::Warning,
        summary: "Calls went to the alternative within 5 minutes.",
        when: grew("sandtower_fallback_used_total", minutes(5)),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerFailoverInUse",
        severity: Severity::Warning,
        summary: "Another place took over calls within 5 minutes.",
        when: grew("sandtower_failover_took_over_total", minutes(5)),
        hold: Duration::ZERO,
        keep: minutes(5),
    },
    Rule {
        name: "SandtowerPoolSuspended",
        severity: Severity::Warning,
        summary: "Creations of warm sandboxes failed and are suspended: the stock of a shape runs out.",
        when: Condition::Is { metric: "sandtower_pool_shape_suspended", only: None, value: 1.0 },
        // The first creation after three failures is tried after 30 s: it may succeed.
        hold: minutes(1),
        keep: minutes(1),
    },
    Rule {
        name: "SandtowerPoolStoreDegraded",
        severity: Severity::Warning,
        summary: "The store of a warm pool is unavailable: nothing is served from stock.",
        when: Condition::Is { metric: "sandtower_pool_store_available", only: None, value: 0.0 },
        hold: minutes(1),
        keep: minutes(1),
    },
    Rule {
        name: "SandtowerPoolCapped",
        severity: Severity::Warning,
        summary: "More than 20 creations within an hour found no warm sandbox, since `max` or the budget caps the stock.",
        when: Condition::Grew {
            metric: "sandtower_pool_capped_misses_total",
            within: minutes(60),
            by_more_than: 20.0,
        },
        hold: Duration::ZERO,
        keep: minutes(5),
    },
];

impl Rule {
    /// The address of the section that says what to do.
    pub fn runbook_url(&self) -> String {
        format!("{OPERATIONS}#{}", self.name.to_lowercase())
    }
}

impl Condition {
    /// As an expression of PromQL.
    pub fn promql(&self) -> String {
        match *self {
            Self::Is { metric, only: Some((label, chosen)), value } => {
                format!("max without ({label}) ({metric}{{{label}=\"{chosen}\"}}) == {value}")
            }
            Self::Is { metric, only: None, value } => format!("{metric} == {value}"),
            Self::Share { of, limit, above } => format!("{of} / {limit} > {above}"),
            Self::Grew { metric, within, by_more_than } => {
                format!("increase({metric}[{}]) > {by_more_than}", span(within))
            }
            Self::GrewByShare { of, all, within, above, at_least } => {
                let within = span(within);
                format!(
                    "increase({of}[{within}]) / increase({all}[{within}]) > {above} \
                     and increase({all}[{within}]) >= {at_least}"
                )
            }
        }
    }
}

/// The rules as a file for Prometheus 2.42 or newer. `assets/alerts.yml` in this crate is its text.
pub fn alert_rules() -> String {
    let mut text = String::from(
        "# Generated from crates/sandtower-telemetry/src/rules.rs. Needs Prometheus 2.42 or newer.\n\
         groups:\n  - name: sandtower\n    rules:\n",
    );
    for rule in RULES {
        let mut line = |indent: usize, key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:indent$}{key}: {value}", "");
        };
        line(6, "- alert", rule.name);
        line(8, "expr", &quoted(&rule.when.promql()));
        if !rule.hold.is_zero() {
            line(8, "for", &span(rule.hold));
        }
        line(8, "keep_firing_for", &span(rule.keep));
        line(8, "labels", "");
        line(10, "severity", rule.severity.label());
        line(8, "annotations", "");
        line(10, "summary", &quoted(rule.summary));
        line(10, "runbook_url", &quoted(&rule.runbook_url()));
    }
    // A key without a value has no blank at its end.
    text.replace(": \n", ":\n")
}

fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds % MINUTE {
        0 => format!("{}m", seconds / MINUTE),
        _ => format!("{seconds}s"),
    }
}

/// A scalar of YAML between single quotes, in which only those need an escape.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
