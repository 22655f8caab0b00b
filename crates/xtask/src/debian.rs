//! Packages that only the system can install.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

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

/// Downloads a package and unpacks it into `folder`, which it replaces. Needs Debian, and no rights.
pub(crate) fn unpack(workspace: &Workspace, package: &str, folder: &Path) -> Result<(), String> {
    let remedy = format!("install the system's package `{package}`");
    if !Path::new("/etc/debian_version").exists() {
        return Err(remedy);
    }
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => fs::create_dir_all(folder).map_err(failed)?,
    }
    let download = || run(apt_get(workspace).args(["download", package]).current_dir(folder));
    // Without the lists of packages there is none to download; only root brings them.
    download().or_else(|error| {
        run(apt_get(workspace).arg("update")).map_err(|_| format!("{error}; {remedy}"))?;
        download()
    })?;
    let files = fs::read_dir(folder).map_err(failed)?.filter_map(Result::ok);
    let mut archives = files.map(|file| file.path());
    let archive = archives.find(|path| path.extension().is_some_and(|it| it == "deb"));
    let archive = archive.ok_or_else(|| format!("apt-get downloaded no `{package}`"))?;
    run(workspace.command("dpkg-deb").arg("--extract").arg(archive).arg(folder))
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
        Ok(finished) => {
            let program = command.get_program().to_string_lossy();
            Err(format!("{program} failed: {}", finished.last_words()))
        }
        Err(error) => Err(error.to_string()),
    }
}
