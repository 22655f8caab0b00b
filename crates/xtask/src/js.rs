//! The set-up of the JavaScript SDK's tests: a folder with pinned packages of npm.

use std::path::PathBuf;
use std::{fs, io};

use crate::debian;
use crate::process::{self, Show};
use crate::setup::{Obstacle, Ready};
use crate::workspace::Workspace;

const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];
const SOURCE: &str = "tests/it/js_sdk";
const VARIABLE: &str = "SANDTOWER_NODE_MODULES";

/// The system's package that brings npm and node.
const PACKAGE: &str = "npm";

pub(crate) fn prepare(workspace: &Workspace) -> Result<Ready, Obstacle> {
    let mut manifests = Vec::new();
    for name in MANIFESTS {
        let path = format!("{SOURCE}/{name}");
        let text = fs::read_to_string(workspace.file(&path))
            .map_err(|error| Obstacle::Repository(format!("{path}: {error}")))?;
        manifests.push((name, text));
    }
    let node = node(workspace).map_err(Obstacle::Machine)?;

    let packages = Packages { home: workspace.scratch("js") };
    let stamp = stamp(&node, &manifests);
    let note = if packages.hold(&stamp) {
        "unchanged"
    } else {
        let machine = |error: io::Error| Obstacle::Machine(error.to_string());
        packages.make(workspace, &manifests, &stamp).map_err(machine)?;
        "recreated"
    };
    let variables = vec![(VARIABLE, packages.modules().into())];
    Ok(Ready { note: note.to_owned(), variables })
}

/// The version of node; has the system install what is missing.
fn node(workspace: &Workspace) -> Result<String, String> {
    version(workspace).or_else(|reason| {
        debian::install(workspace, PACKAGE).map_err(|remedy| format!("{reason}; {remedy}"))?;
        version(workspace)
    })
}

fn version(workspace: &Workspace) -> Result<String, String> {
    let mut versions = String::new();
    for program in ["node", "npm"] {
        let finished = process::run(workspace.command(program).arg("--version"), Show::Later)
            .map_err(|error| error.to_string())?;
        if !finished.succeeded {
            return Err(format!("{program} does not run: {}", finished.last_words()));
        }
        versions = format!("{versions} {program} {}", finished.last_words());
    }
    Ok(versions)
}

/// What a folder was made of; another text asks for another folder.
fn stamp(node: &str, manifests: &[(&str, String)]) -> String {
    let texts: Vec<_> = manifests.iter().map(|(_, text)| text.as_str()).collect();
    format!("{node}\n{}", texts.join("\n"))
}

struct Packages {
    home: PathBuf,
}

impl Packages {
    fn modules(&self) -> PathBuf {
        self.home.join("node_modules")
    }

    fn stamp(&self) -> PathBuf {
        self.home.join("stamp")
    }

    fn hold(&self, stamp: &str) -> bool {
        self.modules().exists() && fs::read_to_string(self.stamp()).is_ok_and(|held| held == stamp)
    }

    /// Makes them from nothing; the stamp comes last, so that a broken attempt is not taken for one.
    fn make(
        &self,
        workspace: &Workspace,
        manifests: &[(&str, String)],
        stamp: &str,
    ) -> io::Result<()> {
        match fs::remove_dir_all(&self.home) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&self.home)?;
        for (name, text) in manifests {
            fs::write(self.home.join(name), text)?;
        }
        let mut install = workspace.command("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&self.home);
        let finished = process::run(&mut install, Show::Later)?;
        if !finished.succeeded {
            return Err(io::Error::other(format!("npm ci failed: {}", finished.last_words())));
        }
        fs::write(self.stamp(), stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_kept_while_nothing_changed() {
        let folder = format!("sandtower-xtask-{}-js", std::process::id());
        let packages = Packages { home: std::env::temp_dir().join(folder) };
        let manifests = |version: &str| vec![("package.json", format!("e2b {version}"))];
        fs::create_dir_all(packages.modules()).unwrap();
        fs::write(packages.stamp(), stamp("node 20", &manifests("1"))).unwrap();
        assert!(packages.hold(&stamp("node 20", &manifests("1"))));
        assert!(!packages.hold(&stamp("node 20", &manifests("2"))));
        assert!(!packages.hold(&stamp("node 22", &manifests("1"))));
        fs::remove_file(packages.stamp()).unwrap();
        assert!(!packages.hold(&stamp("node 20", &manifests("1"))));
        fs::remove_dir_all(packages.home).unwrap();
    }
}
