//! The set-up of the tests that look at pages: a browser of the system.

use std::ffi::OsString;

use crate::debian;
use crate::process::{self, Show};
use crate::setup::{Obstacle, Ready};
use crate::workspace::Workspace;

const VARIABLE: &str = "SANDTOWER_BROWSER";

/// The names under which systems have it; each speaks the DevTools protocol over a pipe.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The system's package that brings it.
const PACKAGE: &str = "chromium";

pub(crate) fn prepare(workspace: &Workspace) -> Result<Ready, Obstacle> {
    let find = || first(&NAMES, |name| version(workspace, name));
    let (name, version) = find()
        .or_else(|reason| {
            debian::install(workspace, PACKAGE).map_err(|remedy| format!("{reason}; {remedy}"))?;
            find()
        })
        .map_err(Obstacle::Machine)?;
    Ok(Ready { note: version, variables: vec![(VARIABLE, OsString::from(name))] })
}

/// The first program that tells its version, and that version; else why the first does not.
fn first(
    names: &[&'static str],
    version: impl Fn(&str) -> Result<String, String>,
) -> Result<(&'static str, String), String> {
    let mut reason = None;
    for name in names {
        match version(name) {
            Ok(version) => return Ok((name, version)),
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    Err(reason.unwrap_or_else(|| "no browser has a name".to_owned()))
}

fn version(workspace: &Workspace, name: &str) -> Result<String, String> {
    let finished = process::run(workspace.command(name).arg("--version"), Show::Later)
        .map_err(|error| error.to_string())?;
    if finished.succeeded {
        Ok(finished.last_words().to_owned())
    } else {
        Err(format!("{name} does not run: {}", finished.last_words()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_browser_that_runs_is_taken() {
        let only_chrome = |name: &str| match name {
            "google-chrome" => Ok("Chrome 1".to_owned()),
            _ => Err(format!("no {name}")),
        };
        assert_eq!(first(&NAMES, only_chrome), Ok(("google-chrome", "Chrome 1".to_owned())));
    }

    #[test]
    fn without_any_it_is_the_first_that_is_missed() {
        let none = |name: &str| Err(format!("no {name}"));
        assert_eq!(first(&NAMES, none), Err("no chromium".to_owned()));
    }
}
