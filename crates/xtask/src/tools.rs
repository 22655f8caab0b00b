//! Programs of others that the commands use, installed under the build folder.

use std::path::{Path, PathBuf};

use crate::process::{self, Show};
use crate::workspace::Workspace;

/// The program `cargo-<name>` of this version; builds it if it is not there.
///
/// # Errors
///
/// It cannot be downloaded or built.
pub(crate) fn install(
    workspace: &Workspace,
    home: &Path,
    name: &str,
    version: &str,
) -> Result<PathBuf, String> {
    let package = format!("cargo-{name}");
    let program = home.join("bin").join(&package);
    let installed =
        process::run(workspace.command(&program).args([name, "--version"]), Show::Later);
    if installed.is_ok_and(|installed| installed.last_words().ends_with(version)) {
        return Ok(program);
    }
    let mut command = workspace.cargo();
    command.args(["install", "--locked", &package, "--version", version, "--root"]);
    command.arg(home).env("CARGO_TARGET_DIR", home.join("build"));
    match process::run(&mut command, Show::Live) {
        Ok(finished) if finished.succeeded => Ok(program),
        Ok(finished) => Err(format!("{package} cannot be installed: {}", finished.last_words())),
        Err(error) => Err(error.to_string()),
    }
}
