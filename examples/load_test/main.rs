//! The load that took an application down, before and after.
//!
//! Six users send two queries each; the agent of every query runs code in a sandbox of E2B, which is
//! simulated: its creations are limited in rate and in parallel, and get slower and fail as load grows. The
//! application first retries blindly; then with a widespread hand-written pattern; then it runs over the
//! recommended stack. `--help` lists other scenarios and loads.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program prints its output")]

mod metrics;
mod progress;

use std::path::Path;
use std::process::ExitCode;

use load_test::{
    Clock, Options, Outcome, Policy, Setup, Summary, Table, Target, USAGE, in_process,
    over_sockets, report,
};
use sandtower::core::BoxError;
use sandtower_load::{PolicyReport, Report, Slo};
use sandtower_telemetry::Registry;
use tokio::runtime::{Builder, Runtime};

use crate::progress::Progress;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("load_test: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("load_test: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, BoxError> {
    let seeds = options.seeds.clone().count();
    let runs = options.setups.len() * options.policies.len() * seeds;
    let registry = Registry::new();
    let mut progress = Progress::new(runs, registry.clone());
    if let Some(address) = options.metrics {
        let address = metrics::serve(address, registry)
            .map_err(|error| format!("--metrics: {address}: {error}"))?;
        eprintln!("metrics: http://{address}/metrics");
    }
    let mut ground = Ground::new(options)?;
    writable(&options.report)?;
    let mut reports = Vec::new();
    let mut is_interrupted = false;
    for setup in &options.setups {
        let of_scenario = reports.len();
        for &policy in &options.policies {
            let mut outcomes = Vec::new();
            for seed in options.seeds.clone() {
                match ground.run(setup, policy, seed, &mut progress)? {
                    Some(outcome) => outcomes.push(outcome),
                    None => is_interrupted = true,
                }
                if is_interrupted {
                    break;
                }
            }
            if !outcomes.is_empty() {
                reports.push(report(&outcomes));
            }
            if is_interrupted {
                break;
            }
        }
        progress.clear();
        if options.setups.len() <= SCENARIOS {
            println!("\n{}: {}; {}\n", title(options, setup), setup.load, seeds_and_clock(options));
            print!("{}", Table(&reports[of_scenario..]));
        }
        if is_interrupted {
            break;
        }
    }
    if options.setups.len() > 1 {
        println!("\n{}", seeds_and_clock(options));
        print!("\n{}", Summary(&reports));
    }
    if is_interrupted && reports.is_empty() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let report = Report { policies: reports };
    let written = report.write_to(&options.report)?;
    println!("\nreport: {} (and {})", written.html.display(), written.json.display());
    if is_interrupted {
        println!("interrupted; the completed runs are");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(check(options, &report.policies))
}

/// Fails before the run, and not after it, if the report cannot be written.
fn writable(folder: &Path) -> Result<(), BoxError> {
    let file = folder.join("report.json");
    let open = || {
        std::fs::create_dir_all(folder)?;
        std::fs::OpenOptions::new().append(true).create(true).open(&file)
    };
    let opened = open().map_err(|error| format!("--report: {}: {error}", file.display()))?;
    if opened.metadata()?.len() == 0 {
        std::fs::remove_file(&file)?;
    }
    Ok(())
}

/// More tables than this are too many to read one after the other.
const SCENARIOS: usize = 11;

/// The exit code of shells for an interrupted program.
const INTERRUPTED: u8 = 130;

/// With another service, only the load is that of the scenario.
fn title(options: &Options, setup: &Setup) -> String {
    match &options.target {
        Some(target) => format!("{} with the load of {}", target.url, setup.name),
        None => setup.name.clone(),
    }
}

fn seeds_and_clock(options: &Options) -> String {
    let clock = match options.clock {
        Clock::Virtual => "virtual",
        Clock::Real => "real",
    };
    match options.seeds.clone().count() {
        1 => format!("seed {}, {clock} clock", options.seeds.start),
        seeds => format!("{seeds} seeds from {}, {clock} clock", options.seeds.start),
    }
}

/// Where it runs.
enum Ground {
    Virtual,
    Sockets(Runtime),
    Target(Runtime, Target),
}

impl Ground {
    fn new(options: &Options) -> Result<Self, BoxError> {
        let runtime = || Builder::new_current_thread().enable_all().build();
        Ok(match (&options.target, options.clock) {
            (Some(target), _) => {
                let target = Target::new(&target.url, target.sandboxes, target.may_cost)?;
                let runtime = runtime()?;
                runtime.block_on(target.check())?;
                Self::Target(runtime, target)
            }
            (None, Clock::Real) => Self::Sockets(runtime()?),
            (None, Clock::Virtual) => Self::Virtual,
        })
    }

    /// `None`: the user interrupted it.
    fn run(
        &mut self,
        setup: &Setup,
        policy: Policy,
        seed: u64,
        progress: &mut Progress,
    ) -> Result<Option<Outcome>, BoxError> {
        match self {
            Self::Virtual => in_process(setup, policy, seed, progress).map(Some),
            Self::Sockets(runtime) => {
                runtime.block_on(over_sockets(setup, policy, seed, progress)).map(Some)
            }
            Self::Target(runtime, target) => {
                runtime.block_on(on_target(target, setup, policy, seed, progress))
            }
        }
    }
}

/// One run, after which no sandbox is left, however it ended.
async fn on_target(
    target: &mut Target,
    setup: &Setup,
    policy: Policy,
    seed: u64,
    progress: &mut Progress,
) -> Result<Option<Outcome>, BoxError> {
    let outcome = tokio::select! {
        outcome = target.run(setup, policy, seed, progress) => Some(outcome),
        _ = tokio::signal::ctrl_c() => None,
    };
    progress.clear();
    if outcome.is_none() {
        eprintln!("killing all sandboxes; this takes up to two minutes (Ctrl-C: leave them) ...");
    }
    let killed = tokio::select! {
        killed = target.clear_up() => killed?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted: sandboxes may be left".into()),
    };
    if killed > 0 {
        eprintln!("{} left {killed} sandboxes behind; they are killed", policy.name());
    }
    if target.capped() > 0 {
        eprintln!(
            "{}: {} creations were not sent and count as failed: --max-sandboxes was reached by \
             sandboxes that were left running",
            policy.name(),
            target.capped()
        );
    }
    let outcome = outcome.transpose()?;
    Ok(outcome.map(|outcome| Outcome { left: killed, ..outcome }))
}

/// Prints which objectives were missed by which runs.
fn check(options: &Options, policies: &[PolicyReport]) -> ExitCode {
    let Some(slo) = &options.slo else { return ExitCode::SUCCESS };
    let is_asked =
        |policy: &&PolicyReport| options.chosen || policy.median.policy == Policy::Sandtower.name();
    let missed: Vec<_> =
        policies.iter().filter(is_asked).flat_map(|policy| misses(slo, policy)).collect();
    match missed.as_slice() {
        [] => {
            println!("all objectives were met");
            ExitCode::SUCCESS
        }
        missed => {
            println!("\nobjectives missed:\n{}", missed.join("\n"));
            ExitCode::FAILURE
        }
    }
}

fn misses(slo: &Slo, policy: &PolicyReport) -> Vec<String> {
    let each = policy.runs.iter().flat_map(|run| {
        let figures = &run.figures;
        let (policy, scenario, seed) = (&figures.policy, &figures.scenario, run.seed);
        let shown = move |missed| format!("  {policy}, {scenario}, seed {seed}: {missed}");
        slo.missed(figures).map(shown)
    });
    each.collect()
}
