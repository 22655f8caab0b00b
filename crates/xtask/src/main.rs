//! The commands of the workspace: `cargo xtask --help` lists them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: what it prints is its answer"
)]

mod arguments;
mod browser;
mod counts;
mod debian;
mod js;
mod process;
mod python;
mod report;
mod setup;
mod steps;
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
        Ok(Command::Test { only }) => match Workspace::find() {
            Ok(workspace) => steps::run(&workspace, &only),
            Err(problem) => reject(&problem),
        },
        Err(problem) => reject(&format!("{problem}\n\n{}", arguments::usage())),
    }
}

fn reject(problem: &str) -> ExitCode {
    eprintln!("xtask: {problem}");
    ExitCode::from(2)
}
