//! `cargo xtask bench-gateway`: what the gateway costs, beside nginx.
//!
//! Builds the gateway as it is installed, and as `--release` builds it; fetches nginx if the system has none.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::debian;
use crate::process::{self, Show};
use crate::workspace::Workspace;

/// Where a system has nginx. It is often in no folder that a user's shell looks in.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// What `nginx-light` runs. It is unpacked, not installed: that would start a server.
const PACKAGE: &str = "nginx";

/// The profile of what is installed: see the manifest of the workspace.
const PROFILE: &str = "dist";

/// Ten thousand connections are as many files.
const MANY_FILES: &str = r#"ulimit -n "$(ulimit -H -n)" && exec "$@""#;

/// Builds all of it and runs the benchmark with `options`.
pub(crate) fn run(workspace: &Workspace, options: &[String]) -> ExitCode {
    match bench(workspace, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("bench-gateway: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn bench(workspace: &Workspace, options: &[String]) -> Result<bool, String> {
    let nginx = nginx(workspace)?;
    // Built apart: together they would get the features that the others need.
    build(workspace, &["--release", "--package=sandtower-gateway"])?;
    let profile = format!("--profile={PROFILE}");
    build(workspace, &[&profile, "--package=sandtower-gateway"])?;
    build(workspace, &[&profile, "--package=sandtower-bench", "--bin=gateway"])?;
    let built = |profile, name| workspace.target().join(profile).join(name);
    let mut command = workspace.command("sh");
    command.args(["-c", MANY_FILES, "sh"]).arg(built(PROFILE, "gateway"));
    command.arg("--nginx").arg(nginx).arg("--gateway").arg(built(PROFILE, "sandtower"));
    command.arg("--release").arg(built("release", "sandtower"));
    command.arg("--folder").arg(workspace.scratch("bench-gateway")).args(options);
    let status = command.status().map_err(|error| error.to_string())?;
    Ok(status.success())
}

fn nginx(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = workspace.scratch("nginx");
    let unpacked = folder.join("usr/sbin/nginx");
    let all = PROGRAMS.iter().map(PathBuf::from).chain([unpacked.clone()]);
    if let Some(found) = all.into_iter().find(|program| runs(workspace, program).is_ok()) {
        return Ok(found);
    }
    debian::unpack(workspace, PACKAGE, &folder)?;
    runs(workspace, &unpacked).map(|()| unpacked)
}

fn runs(workspace: &Workspace, program: &Path) -> Result<(), String> {
    let finished = process::run(workspace.command(program).arg("-v"), Show::Later)
        .map_err(|error| error.to_string())?;
    match finished.succeeded {
        true => Ok(()),
        false => Err(format!("nginx does not run: {}", finished.last_words())),
    }
}

fn build(workspace: &Workspace, arguments: &[&str]) -> Result<(), String> {
    let mut command = workspace.cargo();
    let status = command.arg("build").args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build {}: {status}", arguments.join(" "))),
        Err(error) => Err(error.to_string()),
    }
}
