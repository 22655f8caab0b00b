//! Prints what a call costs, through our layers and through others'.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints its output"
)]

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use sandtower_bench::allocations::{self, Counting};
use sandtower_bench::arguments::Arguments;
use sandtower_bench::case::Case;
use sandtower_bench::cases::{self, BARE, Group};
use sandtower_bench::measure::{Bench, Benches};
use sandtower_bench::report::{self, Groups, Row};
use sandtower_bench::{runtime, statistics};

#[global_allocator]
static ALLOCATOR: Counting = Counting::system();

const USAGE: &str = "\
Usage: overhead [--json FILE] [--rounds N] [--only PART-OF-A-NAME]

Nanoseconds and allocations of a call, on one thread and on two that share a
handle. A round takes about a millisecond for each case; the best and the middle
of 200 are shown.";

const ROUNDS: u64 = 200;

/// Calls whose allocations are counted: many, since some allocate only now and then.
const COUNTED: u64 = 10_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("overhead: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let arguments = Arguments::parse(env::args().skip(1), &["--json", "--rounds", "--only"])?;
    let rounds = arguments.number("--rounds")?.unwrap_or(ROUNDS);
    let groups = runtime::within(|| wanted(arguments.text("--only")));
    let rows = runtime::within(|| measured(&groups, rounds));
    print!("{}", report::table(&names(&groups), &rows));
    match arguments.text("--json") {
        Some(path) => write(Path::new(path), &rows),
        None => Ok(()),
    }
}

/// The bare service is always among them: all others are compared with it.
fn wanted(only: Option<&str>) -> Vec<Group> {
    let mut groups = cases::all();
    if let Some(part) = only {
        for group in &mut groups {
            group.cases.retain(|case| case.name() == BARE || case.name().contains(part));
        }
    }
    groups
}

fn names(groups: &[Group]) -> Groups {
    let names = |group: &Group| group.cases.iter().map(Case::name).collect();
    groups.iter().map(|group| (group.title, names(group))).collect()
}

fn measured(groups: &[Group], rounds: u64) -> Vec<Row> {
    let mut benches = Benches::default();
    let mut allocations = HashMap::new();
    for case in groups.iter().flat_map(|group| &group.cases) {
        allocations.insert(case.name(), allocs(case));
        benches.add(case, 1);
        if case.is_shared() {
            benches.add(case, 2);
        }
    }
    for _ in 0..rounds {
        benches.round();
    }
    let row = |bench: &Bench| Row {
        case: bench.case(),
        threads: bench.threads(),
        ns_min: hundredths(statistics::min(bench.samples())),
        ns_median: hundredths(statistics::median(bench.samples())),
        allocs: allocations.get(bench.case()).copied().unwrap_or_default(),
    };
    // Threads of which one waits most of the time may never have met.
    benches.all().iter().filter(|bench| !bench.samples().is_empty()).map(row).collect()
}

fn allocs(case: &Case) -> f64 {
    let mut runner = case.start();
    // What is made at the first call is not made at each.
    runner(COUNTED);
    hundredths(allocations::count(|| runner(COUNTED)) as f64 / COUNTED as f64)
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn write(path: &Path, rows: &[Row]) -> Result<(), String> {
    let problem = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let json = serde_json::to_string_pretty(rows).map_err(|error| problem(&error))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| problem(&error))?;
    }
    fs::write(path, json + "\n").map_err(|error| problem(&error))
}
