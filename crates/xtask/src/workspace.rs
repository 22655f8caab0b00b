//! Where things are.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace and its environment.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: OsString,
    ci: bool,
}

impl Workspace {
    /// Finds the workspace by what cargo tells the programs that it runs.
    pub(crate) fn find() -> Result<Self, String> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let root = manifest
            .as_deref()
            .and_then(|crate_dir| crate_dir.ancestors().nth(2))
            .ok_or("run it as `cargo xtask`")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => std::path::absolute(&folder)
                .map_err(|error| format!("CARGO_TARGET_DIR has no absolute form: {error}"))?,
            None => root.join("target"),
        };
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let ci = env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        Ok(Self { root, target, cargo, ci })
    }

    /// Whether what is left out counts as failed.
    pub(crate) fn ci(&self) -> bool {
        self.ci
    }

    /// A file of the repository.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The folder under the build folder that belongs to one set-up.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }

    /// The build folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The cargo that runs this.
    pub(crate) fn program(&self) -> &OsStr {
        &self.cargo
    }

    /// A program, to be run at the root.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.root);
        command
    }

    /// The same cargo, building into the same folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(&self.cargo);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
