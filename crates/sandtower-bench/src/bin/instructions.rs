//! Prints how many instructions a call takes, through our layers and through others'.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints its output"
)]

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use sandtower_bench::arguments::Arguments;
use sandtower_bench::{cases, profile, runtime};

const USAGE: &str = "\
Usage: instructions [--calls N] [--only PART-OF-A-NAME] [--profiles FOLDER]

Instructions of a call, counted by valgrind: those of a run with 2 N calls less
those of a run with N. N is 10000. The profiles of the longer runs are left in
target/bench/profiles, for callgrind_annotate.";

const CALLS: u64 = 10_000;

const PROFILES: &str = "target/bench/profiles";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("instructions: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    // `--run` is for this program itself: what it counts.
    let known = ["--calls", "--only", "--profiles", "--run"];
    let arguments = Arguments::parse(env::args().skip(1), &known)?;
    let calls = arguments.number("--calls")?.unwrap_or(CALLS);
    match arguments.text("--run") {
        Some(case) => runtime::within(|| make_calls(case, calls)),
        None => {
            let profiles = Path::new(arguments.text("--profiles").unwrap_or(PROFILES));
            print_all(arguments.text("--only").unwrap_or(""), calls, profiles)
        }
    }
}

fn make_calls(name: &str, calls: u64) -> Result<(), String> {
    let groups = cases::all();
    let case = groups.iter().flat_map(|group| &group.cases).find(|case| case.name() == name);
    let mut runner = case.ok_or_else(|| format!("there is no case `{name}`"))?.start();
    // What is made at the first call is not made at each.
    runner(1);
    profile::counted(&mut runner, calls);
    Ok(())
}

fn print_all(only: &str, calls: u64, profiles: &Path) -> Result<(), String> {
    fs::create_dir_all(profiles).map_err(|error| format!("{}: {error}", profiles.display()))?;
    println!("{:<35}{:>12}", "instructions a call", "");
    for group in runtime::within(cases::all) {
        let cases: Vec<_> = group.cases.iter().filter(|case| case.name().contains(only)).collect();
        if !cases.is_empty() {
            println!("{}", group.title);
        }
        for case in cases {
            let profile = profiles.join(case.name().replace('/', "-"));
            let count = |calls: u64| {
                let calls = calls.to_string();
                let again = ["--run", case.name(), "--calls", &calls];
                profile::instructions(&again, &profile)
            };
            let once = count(calls)?;
            let each = count(2 * calls)?.saturating_sub(once) as f64 / calls as f64;
            println!("  {:<33}{each:>12.0}", case.name());
        }
    }
    Ok(())
}
