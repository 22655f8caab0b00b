//! The gateway as a program: `sandtower --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandtower_gateway::cli::main()
}
