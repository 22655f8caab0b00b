//! The steps of `cargo xtask test`, in their order, and the run through them.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::browser;
use crate::counts::{self, Counts};
use crate::features;
use crate::js;
use crate::names;
use crate::process::{self, Show};
use crate::prometheus;
use crate::python;
use crate::report::{self, End, Outcome, Report};
use crate::setup::{Obstacle, Prepare};
use crate::workspace::Workspace;

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Makes what the step `tests` needs.
    Setup(Prepare),
    /// Runs cargo.
    Cargo(&'static [&'static str], Show),
    /// Runs cargo with atomics and locks replaced by loom's, and into a build folder of its own: the
    /// flag changes every crate.
    Loom(&'static [&'static str]),
    /// Checks each feature alone.
    Features,
}

const PROGRAMS: &str = "programs";

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        purpose: "rustfmt has nothing to change",
        work: Work::Cargo(&["fmt", "--all", "--check"], Show::Later),
    },
    Step {
        name: "clippy",
        purpose: "no lint, no warning, in any target",
        work: Work::Cargo(
            &["clippy", "--workspace", "--all-targets", "--keep-going", "--", "--deny", "warnings"],
            Show::Later,
        ),
    },
    Step {
        name: "python-sdk",
        purpose: "set-up: the official Python SDK under target/, pinned",
        work: Work::Setup(python::prepare),
    },
    Step {
        name: "js-sdk",
        purpose: "set-up: the official JavaScript SDK under target/, pinned",
        work: Work::Setup(js::prepare),
    },
    Step {
        name: "browser",
        purpose: "set-up: the system's browser, in which the report is looked at",
        work: Work::Setup(browser::prepare),
    },
    Step {
        name: "prometheus",
        purpose: "set-up: the system's Prometheus, which scrapes a stack and evaluates its alerts",
        work: Work::Setup(prometheus::prepare),
    },
    Step {
        name: "names",
        purpose: "set-up: names under localhost resolve, by which SDKs reach a gateway",
        work: Work::Setup(names::prepare),
    },
    Step {
        name: PROGRAMS,
        purpose: "the examples as programs, which tests run: `--all-targets` makes tests of them",
        work: Work::Cargo(&["build", "--workspace", "--examples"], Show::Later),
    },
    Step {
        name: "tests",
        purpose: "unit tests, tests across crates, the structure test; with the set-ups",
        work: Work::Cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"], Show::Live),
    },
    Step {
        name: "loom",
        purpose: "every order of events, where atomics and locks decide",
        work: Work::Loom(&[
            "test",
            "--package=sandtower-retry",
            "--package=sandtower-circuit-breaker",
            "--package=sandtower-admission",
            "--lib",
            "--release",
            "loom",
        ]),
    },
    Step {
        name: "doctests",
        purpose: "code blocks of the sources and of the documents",
        work: Work::Cargo(&["test", "--workspace", "--doc", "--no-fail-fast"], Show::Later),
    },
    Step {
        name: "features",
        purpose: "every crate builds with each of its features alone, and with none",
        work: Work::Features,
    },
    Step {
        name: "docs",
        purpose: "rustdoc without a warning",
        work: Work::Cargo(&["doc", "--workspace", "--no-deps", "--keep-going"], Show::Later),
    },
];

/// Runs the named steps, or all; a failure stops none of those that follow.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> ExitCode {
    let start = now();
    let mut variables = variables();
    let mut outcomes = Vec::new();
    for step in STEPS.iter().filter(|step| step.is_wanted(only)) {
        println!("==> {}: {}", step.name, step.purpose);
        let start = now();
        let outcome = match &step.work {
            Work::Setup(prepare) => set_up(step.name, *prepare, workspace, &mut variables),
            Work::Cargo(arguments, show) => {
                let mut command = workspace.cargo();
                command.args(*arguments).envs(variables.iter().cloned());
                cargo(step.name, &mut command, *show)
            }
            Work::Loom(arguments) => {
                let mut command = workspace.cargo();
                command.args(*arguments).env("RUSTFLAGS", "--cfg loom");
                command.env("CARGO_TARGET_DIR", workspace.scratch("loom"));
                cargo(step.name, &mut command, Show::Later)
            }
            Work::Features => match features::command(workspace) {
                Ok(mut command) => cargo(step.name, &mut command, Show::Later),
                Err(obstacle) => unprepared(step.name, obstacle),
            },
        };
        let end = match outcome.end {
            End::Passed => "passed",
            End::Failed => "FAILED",
            End::LeftOut => "LEFT OUT",
        };
        println!("    {} {end} in {}", step.name, report::time(start.elapsed()));
        outcomes.push(outcome);
    }
    let report = Report::new(outcomes, start.elapsed());
    println!("\n{}", report.summary(workspace.ci()));
    if report.passed(workspace.ci()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Step {
    fn is_wanted(&self, only: &[String]) -> bool {
        let is_named = |name: &str| only.iter().any(|wanted| wanted == name);
        let prepares = matches!(self.work, Work::Setup(_)) || self.name == PROGRAMS;
        let is_needed = prepares && is_named("tests");
        only.is_empty() || is_named(self.name) || is_needed
    }
}

type Variables = Vec<(&'static str, OsString)>;

/// Flags for every cargo besides its arguments.
fn variables() -> Variables {
    let mut flags = env::var_os("RUSTDOCFLAGS").unwrap_or_default();
    flags.push(" --deny warnings");
    let mut variables = vec![("RUSTDOCFLAGS", flags)];
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
        variables.push(("CARGO_TERM_COLOR", "always".into()));
    }
    variables
}

fn set_up(
    step: &'static str,
    prepare: Prepare,
    workspace: &Workspace,
    variables: &mut Variables,
) -> Outcome {
    match prepare(workspace) {
        Ok(ready) => {
            println!("    {}", ready.note);
            variables.extend(ready.variables);
            Outcome { step, end: End::Passed, tests: Counts::default(), left_out: vec![] }
        }
        Err(obstacle) => unprepared(step, obstacle),
    }
}

fn unprepared(step: &'static str, obstacle: Obstacle) -> Outcome {
    let (end, left_out) = match obstacle {
        Obstacle::Machine(reason) => {
            println!("    {reason}");
            (End::LeftOut, vec![reason])
        }
        Obstacle::Repository(problem) => {
            println!("    {problem}");
            (End::Failed, vec![])
        }
    };
    Outcome { step, end, tests: Counts::default(), left_out }
}

fn cargo(step: &'static str, command: &mut Command, show: Show) -> Outcome {
    let (succeeded, lines) = match process::run(command, show) {
        Ok(finished) => (finished.succeeded, finished.lines),
        Err(error) => (false, vec![error.to_string()]),
    };
    if show == Show::Later && !succeeded {
        lines.iter().for_each(|line| println!("{line}"));
    }
    let tests = Counts::of(lines.iter().map(String::as_str));
    let mut left_out: Vec<_> =
        lines.iter().filter_map(|line| counts::reason(line)).map(str::to_owned).collect();
    let ignored = tests.skipped.saturating_sub(left_out.len() as u64);
    if ignored > 0 {
        left_out.push(format!("{ignored} ignored"));
    }
    Outcome { step, end: if succeeded { End::Passed } else { End::Failed }, tests, left_out }
}

#[expect(clippy::disallowed_methods, reason = "tells a person how long it took; decides nothing")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<_> = only.iter().map(|&name| name.to_owned()).collect();
        STEPS.iter().filter(|step| step.is_wanted(&only)).map(|step| step.name).collect()
    }

    #[test]
    fn all_steps_run_unless_some_are_named() {
        assert_eq!(wanted(&[]).len(), STEPS.len());
        assert_eq!(wanted(&["docs", "format"]), ["format", "docs"]);
    }

    #[test]
    fn tests_bring_their_set_ups() {
        assert_eq!(
            wanted(&["tests"]),
            ["python-sdk", "js-sdk", "browser", "prometheus", "names", "programs", "tests"]
        );
        assert_eq!(wanted(&["python-sdk"]), ["python-sdk"]);
    }

    #[test]
    fn set_ups_come_before_the_tests() {
        let tests = STEPS.iter().position(|step| step.name == "tests");
        let last = STEPS.iter().rposition(|step| matches!(step.work, Work::Setup(_)));
        assert!(last < tests);
    }
}
