//! Prints what the gateway costs, beside nginx: `cargo xtask bench-gateway` starts it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints its output"
)]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sandtower::core::BoxError;
use sandtower_bench::arguments::Arguments;
use sandtower_bench::gateway::{self, Options};

const USAGE: &str = "\
Usage: gateway --nginx PROGRAM --gateway PROGRAM [--release PROGRAM] [--folder FOLDER]
               [--rounds N] [--seconds N] [--only PART-OF-A-NAME]

Requests a second, latency and memory of the gateway beside nginx as a plain
reverse proxy. A turn of each proxy takes 2 seconds, and each has 5 of them.
--only: sandbox throughput, control throughput, latency, streams, growth, idle,
keys.";

const ROUNDS: u64 = 5;
const SECONDS: u64 = 2;

const OPTIONS: &[&str] = &[
    "--nginx",
    "--gateway",
    "--release",
    "--folder",
    "--rounds",
    "--seconds",
    "--only",
    "--serve-plain",
    "--upstream",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("gateway: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), BoxError> {
    let arguments = Arguments::parse(env::args().skip(1), OPTIONS)?;
    if let Some(listen) = arguments.text("--serve-plain") {
        let upstream = arguments.text("--upstream").ok_or("`--upstream` is missing")?;
        return gateway::serve_plain(listen.parse()?, upstream);
    }
    let path = |option| arguments.text(option).map(PathBuf::from);
    let program = |option| path(option).ok_or_else(|| format!("`{option}` is missing"));
    let options = Options {
        nginx: program("--nginx")?,
        gateway: program("--gateway")?,
        release: path("--release"),
        plain: env::current_exe()?,
        folder: path("--folder").unwrap_or_else(|| env::temp_dir().join("sandtower-bench")),
        rounds: arguments.number("--rounds")?.unwrap_or(ROUNDS),
        time: Duration::from_secs(arguments.number("--seconds")?.unwrap_or(SECONDS)),
        only: arguments.text("--only").map(str::to_owned),
    };
    print!("{}", gateway::run(&options)?);
    Ok(())
}
