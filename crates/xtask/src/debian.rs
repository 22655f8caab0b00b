//! Packages that only the system can install.

use std::path::Path;
use std::process::Command;

use crate::process::{self, Show};
use crate::workspace::Workspace;

/// Installs a package when this is Debian and we are root; says what is needed otherwise.
pub(crate) fn install(workspace: &Workspace, package: &str) -> Result<(), String> {
    if !Path::new("/etc/debian_version").exists() || !is_root(workspace) {
        return Err(format!("install the system's package `{package}`"));
    }
    run(apt_get(workspace).arg("update"))?;
    run(apt_get(workspace).args(["install", "--yes", "--no-install-recommends", package]))
}

fn is_root(workspace: &Workspace) -> bool {
    process::run(workspace.command("id").arg("-u"), Show::Later)
        .is_ok_and(|finished| finished.succeeded && finished.last_words() == "0")
}

fn apt_get(workspace: &Workspace) -> Command {
    let mut command = workspace.command("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Another one at work is waited for, not an error.
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    match process::run(command, Show::Later) {
        Ok(finished) if finished.succeeded => Ok(()),
        Ok(finished) => Err(format!("apt-get failed: {}", finished.last_words())),
        Err(error) => Err(error.to_string()),
    }
}
