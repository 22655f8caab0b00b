//! The small load that took an application down, before and after.
//!
//! Six users ask two queries each; every query has its agent run code in a sandbox of E2B, here a
//! simulated one whose creations are limited in rate and in parallel, and slower and failing as load
//! grows. First the application retries blindly, as it did; then it runs over the recommended stack.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program: this is what it says")]

mod options;

use std::process::ExitCode;

use examples::load_test::{Load, Table, Way, in_process, over_sockets};
use sandtower::core::BoxError;
use sandtower_sim::World;
use tokio::runtime::Builder;

use crate::options::{Clock, Options, USAGE};

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
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load_test: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), BoxError> {
    let load = Load { users: 6, queries: 2, warm: 10, seed: options.seed };
    println!(
        "stress: {} users, {} queries each, at most {} warm sandboxes; seed {}, {} clock\n",
        load.users,
        load.queries,
        load.warm,
        load.seed,
        match options.clock {
            Clock::Virtual => "virtual",
            Clock::Real => "real",
        },
    );
    let outcomes = match options.clock {
        Clock::Virtual => {
            [Way::Before, Way::After].map(|way| in_process(load, way, World::stress()))
        }
        Clock::Real => {
            println!(
                "over loopback sockets, both policies at once: this takes about a quarter of an hour ...\n"
            );
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (before, after) = runtime.block_on(async {
                let run = |way| over_sockets(load, way, World::stress());
                tokio::join!(run(Way::Before), run(Way::After))
            });
            [before, after]
        }
    };
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
    print!("{}", Table(&outcomes));
    Ok(())
}
