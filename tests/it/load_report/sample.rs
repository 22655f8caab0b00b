//! Sample reports: of a plain run, of none, of one call, of far too much.

use sandtower_load::{
    Figures, Part, PolicyReport, Query, Report, Row, SeedFigures, SlowCall, Spent,
};

/// Two policies through an outage, in the same forty minutes.
pub(crate) fn outage() -> Report {
    let policies = [("unprotected", true), ("sandtower", false)];
    Report { policies: policies.map(|(name, naive)| policy(name, naive)).into() }
}

fn policy(name: &str, naive: bool) -> PolicyReport {
    let median = Figures {
        scenario: "outage".into(),
        policy: name.into(),
        clock: "virtual".into(),
        seeds: 2,
        calls: 1_200.0,
        succeeded: if naive { 700.0 } else { 1_100.0 },
        failed: if naive { 500.0 } else { 12.0 },
        rejected: if naive { 0.0 } else { 88.0 },
        amplification: if naive { 3.4 } else { 1.05 },
        p50_ms: Some(2_400.0),
        p99_ms: Some(if naive { 190_000.0 } else { 41_000.0 }),
        leaked_sandboxes: if naive { 31.0 } else { 0.0 },
        recovery_ms: (!naive).then_some(8_400.0),
        ..Figures::default()
    };
    let run = |seed| SeedFigures { seed, figures: median.clone() };
    PolicyReport {
        worst: run(2),
        runs: vec![run(1), run(2)],
        series: (0..120).map(|at| row(at, naive)).collect(),
        slowest: (0..20_u32).map(|at| slow(at, naive)).collect(),
        queries: (0..12_u32).map(|at| query(at, naive)).collect(),
        median,
    }
}

fn row(at: u32, naive: bool) -> Row {
    let down = (40..60).contains(&at);
    let after = naive && (60..110).contains(&at);
    let wobble = u64::from(at * 7 % 5);
    let served = (!down).then_some(if after { 30_000.0 } else { 2_000.0 + 300.0 * wobble as f64 });
    Row {
        t_s: f64::from(at) * 20.0,
        offered: 8 + wobble,
        succeeded: if down { 0 } else { 8 + wobble / (1 + u64::from(after)) },
        failed: if naive && (down || after) { 5 } else { u64::from(at == 40) },
        rejected: if down && !naive { 8 } else { 0 },
        p50_ms: served,
        p99_ms: served.map(|ms| ms * 4.0),
        max_ms: served.map(|ms| ms * 5.5),
        breaker: (!naive).then(|| match at {
            41..=58 => "open".to_owned(),
            59..=61 => "half_open".to_owned(),
            _ => "closed".to_owned(),
        }),
        limit: (!naive).then_some(if down { 1 } else { 10 }),
        in_flight: if naive && (down || after) { 18 } else { 4 + wobble },
        waiting: if down && !naive { 12 } else { wobble },
    }
}

fn slow(at: u32, naive: bool) -> SlowCall {
    let scale = f64::from(40 - at) * 1_000.0;
    let spent = |what, share: f64| Spent { what, ms: scale * share };
    let parts = match naive {
        true => vec![
            spent(Part::Thinking, 0.2),
            spent(Part::Attempt, 1.5),
            spent(Part::Backoff, 0.5),
            spent(Part::Attempt, 1.5),
            spent(Part::Running, 0.8),
        ],
        false => vec![
            spent(Part::Queued, 0.5),
            spent(Part::Attempt, 0.3),
            spent(Part::Check, 0.1),
            spent(Part::Other, 0.1),
        ],
    };
    let outcome = match at % 3 {
        0 => "succeeded",
        1 => "rejected: circuit breaker `E2B` is open; retry in 10 s",
        _ => "failed: 503 Service Unavailable <html><body>busy</body></html>",
    };
    SlowCall {
        start_ms: f64::from(at) * 9_000.0,
        took_ms: parts.iter().map(|spent| spent.ms).sum(),
        outcome: outcome.into(),
        parts,
    }
}

fn query(at: u32, naive: bool) -> Query {
    let has_failed = naive && at % 4 == 3;
    let error = "failed: the service returned 429 Too Many Requests: \
                 you_have_reached_the_maximum_number_of_concurrent_sandboxes";
    Query {
        user: at / 2 + 1,
        number: at % 2 + 1,
        took_ms: 20_000.0 + f64::from(at) * if naive { 25_000.0 } else { 4_000.0 },
        outcome: if has_failed { error.into() } else { "succeeded".into() },
        failures: if naive { at % 3 } else { 0 },
    }
}

/// A policy without calls, and one with a single call.
pub(crate) fn hardly_anything() -> Report {
    let mut nothing = policy("no calls", false);
    nothing.median =
        Figures { scenario: "quiet".into(), policy: "none".into(), ..Figures::default() };
    nothing.series.clear();
    nothing.slowest.clear();
    nothing.queries.clear();
    nothing.runs.clear();
    let mut one = nothing.clone();
    one.median =
        Figures { policy: "one".into(), calls: 1.0, succeeded: 1.0, ..nothing.median.clone() };
    one.series = vec![Row {
        offered: 1,
        succeeded: 1,
        p50_ms: Some(0.4),
        p99_ms: Some(0.4),
        max_ms: Some(0.4),
        ..Row::default()
    }];
    one.slowest = vec![SlowCall {
        took_ms: 0.4,
        outcome: "succeeded".into(),
        parts: vec![Spent { what: Part::Attempt, ms: 0.4 }],
        ..SlowCall::default()
    }];
    Report { policies: vec![nothing, one] }
}

/// Ten thousand rows and three policies, with names and errors without a space in them.
pub(crate) fn too_much() -> Report {
    let mut report = Report::default();
    for at in 0..3 {
        let name = format!("policy_{at}_{}", "a_name_without_end".repeat(3));
        let mut policy = policy(&name, at % 2 == 0);
        policy.median.calls = 123_456_789.0;
        policy.median.succeeded = 123_456_788.0;
        policy.median.p99_ms = Some(7.0e7);
        policy.series = (0..10_000).map(|at| row(at % 120, false)).collect();
        for (at, row) in policy.series.iter_mut().enumerate() {
            row.t_s = at as f64 * 9.5;
            row.offered *= 100_000;
            row.waiting *= 1_000_000;
        }
        policy.queries = (0..150).map(|at| query(at, true)).collect();
        report.policies.push(policy);
    }
    report
}
