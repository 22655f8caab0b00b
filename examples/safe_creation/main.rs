//! Creations with faults, and whether any sandbox is left behind: the table in `docs/safe-creation.md`.
//!
//! ```sh
//! cargo run --release -p examples --example safe_creation -- 100000 1
//! ```

use std::process::ExitCode;

use examples::safe_creation::{Random500s, Storm};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let (Ok(creations), Ok(seed)) =
        (numbers.next().unwrap_or(Ok(10_000)), numbers.next().unwrap_or(Ok(1)))
    else {
        print("safe_creation [creations] [seed]: both must be numbers");
        return ExitCode::FAILURE;
    };
    let mut is_clean = true;
    for (callers_go, listing_lags) in [(false, false), (true, false), (false, true), (true, true)] {
        let storm = Storm { creations, callers_go, listing_lags, seed: seed.into() };
        match storm.pass() {
            Ok(report) => {
                is_clean &= report.is_clean();
                print(&format!("{storm:?}\n{report:#?}\n"));
            }
            Err(error) => {
                is_clean = false;
                print(&format!("{storm:?}: {error}"));
            }
        }
    }
    match Random500s::run(creations, seed.into()) {
        Ok(seen) => print(&format!("{seen:#?}")),
        Err(error) => {
            is_clean = false;
            print(&error.to_string());
        }
    }
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn print(text: &str) {
    println!("{text}");
}
