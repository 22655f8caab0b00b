//! The set-up of the Python SDK's tests: a virtual environment with pinned packages.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::debian;
use crate::process::{self, Finished, Show};
use crate::setup::{Obstacle, Ready};
use crate::workspace::Workspace;

const REQUIREMENTS: &str = "tests/it/python_sdk/requirements.txt";
const VARIABLE: &str = "SANDTOWER_PYTHON";

/// The system's package that an interpreter may lack.
const PACKAGE: &str = "python3-venv";

/// Prints what an environment is bound to, and fails where none can be made.
const PROBE: &str = "import ensurepip, sys, venv; print(sys.version, sys.base_prefix)";

pub(crate) fn prepare(workspace: &Workspace) -> Result<Ready, Obstacle> {
    let requirements = fs::read_to_string(workspace.file(REQUIREMENTS))
        .map_err(|error| Obstacle::Repository(format!("{REQUIREMENTS}: {error}")))?;
    let interpreter = interpreter(workspace).map_err(Obstacle::Machine)?;

    let environment = Environment { home: workspace.scratch("python") };
    let stamp = stamp(&interpreter, &requirements);
    let note = if environment.holds(&stamp) {
        "unchanged"
    } else {
        environment
            .make(workspace, &stamp)
            .map_err(|reason| Obstacle::Machine(reason.to_string()))?;
        "recreated"
    };
    let variables = vec![(VARIABLE, environment.python().into())];
    Ok(Ready { note: note.to_owned(), variables })
}

/// What environments are made with; has the system install what that lacks.
fn interpreter(workspace: &Workspace) -> Result<String, String> {
    probe(workspace).or_else(|reason| {
        debian::install(workspace, PACKAGE).map_err(|remedy| format!("{reason}; {remedy}"))?;
        probe(workspace).map_err(|reason| format!("{reason}; though `{PACKAGE}` is installed"))
    })
}

fn probe(workspace: &Workspace) -> Result<String, String> {
    let finished = process::run(workspace.command("python3").args(["-c", PROBE]), Show::Later)
        .map_err(|error| error.to_string())?;
    if finished.succeeded {
        Ok(finished.lines.join(" "))
    } else {
        Err(format!("python3 cannot make environments: {}", finished.last_words()))
    }
}

/// What an environment was made of; another text asks for another environment.
fn stamp(interpreter: &str, requirements: &str) -> String {
    format!("{interpreter}\n{requirements}")
}

struct Environment {
    home: PathBuf,
}

impl Environment {
    fn python(&self) -> PathBuf {
        self.home.join("bin/python")
    }

    fn stamp(&self) -> PathBuf {
        self.home.join("stamp")
    }

    fn holds(&self, stamp: &str) -> bool {
        // `exists` follows the link to an interpreter that may be gone.
        self.python().exists() && fs::read_to_string(self.stamp()).is_ok_and(|held| held == stamp)
    }

    /// Makes it from nothing; the stamp comes last, so that a broken attempt is not taken for one.
    fn make(&self, workspace: &Workspace, stamp: &str) -> io::Result<()> {
        remove(&self.home)?;
        let mut make = workspace.command("python3");
        make.args(["-m", "venv"]).arg(&self.home);
        succeeded("python3 -m venv", &process::run(&mut make, Show::Later)?)?;

        let mut install = workspace.command(self.python());
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--requirement"]);
        install.arg(REQUIREMENTS).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        succeeded("pip install", &process::run(&mut install, Show::Later)?)?;

        fs::write(self.stamp(), stamp)
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn succeeded(what: &str, finished: &Finished) -> io::Result<()> {
    if finished.succeeded {
        Ok(())
    } else {
        Err(io::Error::other(format!("{what} failed: {}", finished.last_words())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment as if it had been made, in a folder that goes when the test ends.
    struct Made(Environment);

    impl Made {
        fn of(name: &str, stamp: &str) -> Self {
            let folder = format!("sandtower-xtask-{}-{name}", std::process::id());
            let environment = Environment { home: std::env::temp_dir().join(folder) };
            fs::create_dir_all(environment.home.join("bin")).unwrap();
            fs::write(environment.python(), "").unwrap();
            fs::write(environment.stamp(), stamp).unwrap();
            Self(environment)
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            remove(&self.0.home).unwrap();
        }
    }

    #[test]
    fn an_environment_is_kept_while_nothing_changed() {
        let made = Made::of("same", &stamp("3.11", "e2b==1\n"));
        assert!(made.0.holds(&stamp("3.11", "e2b==1\n")));
    }

    #[test]
    fn another_version_of_a_package_or_of_python_asks_for_another() {
        let made = Made::of("other", &stamp("3.11", "e2b==1\n"));
        assert!(!made.0.holds(&stamp("3.11", "e2b==2\n")));
        assert!(!made.0.holds(&stamp("3.12", "e2b==1\n")));
    }

    #[test]
    fn an_environment_without_its_stamp_or_its_python_is_none() {
        let half = Made::of("half", "x");
        fs::remove_file(half.0.stamp()).unwrap();
        assert!(!half.0.holds("x"));

        let gone = Made::of("gone", "x");
        fs::remove_file(gone.0.python()).unwrap();
        assert!(!gone.0.holds("x"));
    }
}
