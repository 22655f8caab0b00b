//! The set-up of the tests of metrics and alerts: Prometheus and its tool.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::debian;
use crate::process::{self, Show};
use crate::setup::{Obstacle, Ready};
use crate::workspace::Workspace;

/// How tests find the server and the tool.
const PROGRAMS: [(&str, &str); 2] =
    [("SANDTOWER_PROMETHEUS", "prometheus"), ("SANDTOWER_PROMTOOL", "promtool")];

/// Debian's package that brings both. It is unpacked, not installed: that would start a server.
const PACKAGE: &str = "prometheus";

pub(crate) fn prepare(workspace: &Workspace) -> Result<Ready, Obstacle> {
    let unpacked = workspace.scratch("prometheus").join("usr/bin");
    let found =
        found(workspace, Path::new("")).or_else(|_| found(workspace, &unpacked)).or_else(|_| {
            debian::unpack(workspace, PACKAGE, &workspace.scratch("prometheus"))?;
            found(workspace, &unpacked)
        });
    found.map_err(Obstacle::Machine)
}

/// The programs in `folder`, or on the path if that is empty, if they run.
fn found(workspace: &Workspace, folder: &Path) -> Result<Ready, String> {
    let mut note = String::new();
    let mut variables = Vec::new();
    for (variable, name) in PROGRAMS {
        let program: PathBuf = folder.join(name);
        let finished = process::run(workspace.command(&program).arg("--version"), Show::Later)
            .map_err(|error| error.to_string())?;
        if !finished.succeeded {
            return Err(format!("{name} does not run: {}", finished.last_words()));
        }
        note = finished.lines.first().cloned().unwrap_or_default();
        variables.push((variable, OsString::from(program)));
    }
    Ok(Ready { note, variables })
}
