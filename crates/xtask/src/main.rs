//! The commands of the workspace: `cargo xtask --help` lists them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints its output"
)]

mod arguments;
mod bench_gateway;
mod browser;
mod counts;
mod debian;
mod features;
mod js;
mod mutants;
mod names;
mod process;
mod prometheus;
mod python;
mod report;
mod setup;
mod steps;
mod tools;
mod workspace;

use std::env;
use std::process::ExitCode;

use arguments::Command;
use workspace::Workspace;

fn main() -> ExitCode {
    match Command::parse(env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", arguments::usage());
            ExitCode::SUCCESS
        }
        Ok(Command::Test { only }) => in_workspace(|workspace| steps::run(workspace, &only)),
        Ok(Command::Mutants(options)) => {
            in_workspace(|workspace| mutants::run(workspace, &options))
        }
        Ok(Command::BenchGateway { options }) => {
            in_workspace(|workspace| bench_gateway::run(workspace, &options))
        }
        Err(problem) => reject(&format!("{problem}\n\n{}", arguments::usage())),
    }
}

fn in_workspace(run: impl FnOnce(&Workspace) -> ExitCode) -> ExitCode {
    match Workspace::find() {
        Ok(workspace) => run(&workspace),
        Err(problem) => reject(&problem),
    }
}

fn reject(problem: &str) -> ExitCode {
    eprintln!("xtask: {problem}");
    ExitCode::from(2)
}
