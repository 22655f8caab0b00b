//! Compares policies for a warm pool in virtual time: fixed sizes, the rules of two autoscalers, and the
//! engine of this crate. The same seeds give the same table.
//!
//! ```text
//! cargo run --release -p sandtower-pool --example policies -- --seeds 20 --json FILE
//! ```
//!
//! `hits` is a share from 0 to 1. All figures are means over the seeds, but `miss_p99_ms`, which is of the
//! misses of all seeds together.

#![expect(clippy::expect_used, reason = "constants of the program")]

mod demand;
mod model;
mod policy;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandtower_core::Tick;
use serde::Serialize;

use demand::Demand;
use model::{Outcome, Service, Window, run};
use policy::Policy;

#[derive(Debug, Serialize)]
struct Row {
    demand: &'static str,
    policy: String,
    hits: f64,
    idle_mean: f64,
    miss_p99_ms: u64,
    cost_per_h: f64,
    /// Of the worst seed.
    hits_worst: f64,
    /// The most calls within 10 s, of all seeds.
    burst: usize,
    /// Seconds after the step until 99 % of the calls of a minute are hits, of the worst seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered_s: Option<f64>,
}

const USAGE: &str = "policies [--seeds N] [--json FILE]";

struct Options {
    seeds: u64,
    json: Option<String>,
}

fn options() -> Option<Options> {
    let mut options = Options { seeds: 20, json: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => options.seeds = args.next()?.parse().ok().filter(|seeds| *seeds > 0)?,
            "--json" => options.json = Some(args.next()?),
            _ => return None,
        }
    }
    Some(options)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line")]
fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    let rows = rows(options.seeds);
    println!(
        "{:<8} {:<10} {:>8} {:>8} {:>9} {:>12} {:>9}",
        "demand", "policy", "hits %", "worst %", "idle", "miss p99 ms", "$/h"
    );
    for row in &rows {
        let recovered =
            row.recovered_s.map(|s| format!("  99 % after {s:.0} s")).unwrap_or_default();
        println!(
            "{:<8} {:<10} {:>8.2} {:>8.2} {:>9.2} {:>12} {:>9.3}{recovered}",
            row.demand,
            row.policy,
            row.hits * 100.0,
            row.hits_worst * 100.0,
            row.idle_mean,
            row.miss_p99_ms,
            row.cost_per_h
        );
    }
    let Some(file) = options.json else { return ExitCode::SUCCESS };
    let written = serde_json::to_string_pretty(&rows).map_err(std::io::Error::from);
    match written.and_then(|json| std::fs::write(&file, json + "\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{file} cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

const FIXED: [u32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30];

fn rows(seeds: u64) -> Vec<Row> {
    let calls: [Vec<_>; 4] =
        Demand::ALL.map(|demand| (1..=seeds).map(|seed| demand.calls(seed)).collect());
    let policies = [Policy::Sandtower, Policy::Hpa, Policy::Knative].into_iter();
    let policies: Vec<_> = policies.chain(FIXED.map(Policy::Fixed)).collect();
    let pairs = Demand::ALL.into_iter().zip(&calls);
    let all: Vec<_> = pairs.flat_map(|pair| policies.iter().map(move |it| (pair, *it))).collect();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(((demand, calls), policy)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = compare(*demand, *policy, calls);
            rows.lock().expect("no run panics").push(row);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut rows = rows.into_inner().expect("no run panics");
    let place = |row: &Row| {
        let policy = policies.iter().position(|policy| policy.name() == row.policy);
        (Demand::ALL.map(Demand::name).iter().position(|name| *name == row.demand), policy)
    };
    rows.sort_by_key(place);
    rows
}

fn compare(demand: Demand, policy: Policy, calls: &[Vec<Duration>]) -> Row {
    let run = |(seed, calls): (u64, &Vec<Duration>)| {
        let window = Window { from: demand.counts_from(), to: demand.lasts() };
        run(policy.build(Service::PRO, Tick::ZERO), calls, window, Service::PRO, seed)
    };
    let outcomes: Vec<_> = (1..).zip(calls).map(run).collect();
    row(demand, policy, &outcomes, calls)
}

fn row(demand: Demand, policy: Policy, outcomes: &[Outcome], calls: &[Vec<Duration>]) -> Row {
    let runs = outcomes.len() as f64;
    let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / runs;
    let mut waits: Vec<_> =
        outcomes.iter().flat_map(|outcome| outcome.waits.iter().copied()).collect();
    waits.sort();
    let p99 = waits.get((waits.len() * 99).div_ceil(100).saturating_sub(1));
    let recovered = outcomes.iter().map(recovered).fold(0.0, f64::max);
    Row {
        demand: demand.name(),
        policy: policy.name(),
        hits: mean(Outcome::hits),
        idle_mean: mean(|outcome| outcome.idle_mean),
        miss_p99_ms: p99.map_or(0, |wait| wait.as_millis() as u64),
        cost_per_h: mean(|outcome| outcome.cost_per_h),
        burst: calls.iter().map(|calls| burst(calls)).max().unwrap_or(0),
        hits_worst: outcomes.iter().map(Outcome::hits).fold(1.0, f64::min),
        recovered_s: (demand == Demand::Step).then_some(recovered),
    }
}

/// The most calls within 10 s.
fn burst(calls: &[Duration]) -> usize {
    let within = |from: usize| calls.partition_point(|at| *at <= calls[from] + WINDOW) - from;
    (0..calls.len()).map(within).max().unwrap_or(0)
}

const WINDOW: Duration = Duration::from_secs(10);

/// Seconds after the step from which on at least 99 % of the calls of a minute were hits.
fn recovered(outcome: &Outcome) -> f64 {
    let minute = Duration::from_secs(60);
    let after: Vec<_> = outcome.calls.iter().filter(|(at, _)| *at >= Demand::STEP).collect();
    for (from, (at, _)) in after.iter().enumerate() {
        let within = after[from..].iter().take_while(|(other, _)| *other <= *at + minute);
        let (mut all, mut hits) = (0, 0);
        within.for_each(|(_, is_hit)| (all, hits) = (all + 1, hits + u32::from(*is_hit)));
        if f64::from(hits) >= 0.99 * f64::from(all) {
            return at.saturating_sub(Demand::STEP).as_secs_f64();
        }
    }
    f64::INFINITY
}
