//! SandboxTracker in bad weather, and whether anything is left behind: the table in
//! `docs/safe-creation.md`.
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
        tell("safe_creation [creations] [seed]: both have to be numbers");
        return ExitCode::FAILURE;
    };
    let mut is_clean = true;
    for (callers_go, listing_lags) in [(false, false), (true, false), (false, true), (true, true)] {
        let storm = Storm { creations, callers_go, listing_lags, seed: seed.into() };
        match storm.pass() {
            Ok(report) => {
                is_clean &= report.is_clean();
                tell(&format!("{storm:?}\n{report:#?}\n"));
            }
            Err(error) => {
                is_clean = false;
                tell(&format!("{storm:?}: {error}"));
            }
        }
    }
    match Random500s::run(creations, seed.into()) {
        Ok(seen) => tell(&format!("{seen:#?}")),
        Err(error) => {
            is_clean = false;
            tell(&error.to_string());
        }
    }
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn tell(text: &str) {
    println!("{text}");
}
