//! Checks each feature of each crate alone, with cargo-hack: users may enable any one of them.

use std::process::Command;

use crate::setup::Obstacle;
use crate::tools;
use crate::workspace::Workspace;

const VERSION: &str = "0.6.46";

/// The crates that have features; `tests/it/packages.rs` compares it with the manifests.
const CRATES: &[&str] = &[
    "load_test",
    "sandtower",
    "sandtower-e2b",
    "sandtower-http",
    "sandtower-pool",
    "sandtower-rate-limit",
];

/// The command that checks them; installs cargo-hack if it is not there.
///
/// # Errors
///
/// cargo-hack cannot be installed.
pub(crate) fn command(workspace: &Workspace) -> Result<Command, Obstacle> {
    let home = workspace.scratch("hack");
    let program = tools::install(workspace, &home, "hack", VERSION).map_err(Obstacle::Machine)?;
    let mut command = workspace.command(program);
    command.env("CARGO_TARGET_DIR", workspace.target()).env("CARGO", workspace.program());
    command.args(["hack", "check", "--each-feature", "--quiet"]);
    command.args(CRATES.iter().map(|name| format!("--package={name}")));
    Ok(command)
}
