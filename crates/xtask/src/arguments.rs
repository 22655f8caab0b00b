//! The command line.

use std::str::FromStr;

use crate::mutants::Options;
use crate::steps::STEPS;

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    /// Run the named steps; all of them when none is named.
    Test {
        only: Vec<String>,
    },
    /// Test mutants of the code.
    Mutants(Options),
    /// Compare the gateway with nginx. The options are the benchmark's own.
    BenchGateway {
        options: Vec<String>,
    },
}

impl Command {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        match arguments.next().as_deref() {
            None | Some("help" | "--help" | "-h") => Ok(Self::Help),
            Some("test") => Self::parse_test(arguments),
            Some("mutants") => Self::parse_mutants(arguments),
            Some("bench-gateway") => Ok(Self::BenchGateway { options: arguments.collect() }),
            Some(other) => Err(format!("unknown command `{other}`")),
        }
    }

    fn parse_test(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut only = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--only" => only.push(known_step(arguments.next())?),
                other => return Err(format!("unknown argument `{other}` of `test`")),
            }
        }
        Ok(Self::Test { only })
    }

    fn parse_mutants(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--full" => options.full = true,
                "--file" => options.files.push(value(&argument, arguments.next())?),
                "--jobs" => options.jobs = value(&argument, arguments.next())?,
                "--seed" => options.seed = value(&argument, arguments.next())?,
                other => return Err(format!("unknown argument `{other}` of `mutants`")),
            }
        }
        Ok(Self::Mutants(options))
    }
}

fn value<T: FromStr>(argument: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("`{argument}` needs a value"))?;
    value.parse().map_err(|_| format!("`{argument} {value}`: the value is invalid"))
}

fn known_step(name: Option<String>) -> Result<String, String> {
    let name = name.ok_or("`--only` needs the name of a step")?;
    if STEPS.iter().any(|step| step.name == name) {
        Ok(name)
    } else {
        Err(format!("unknown step `{name}`"))
    }
}

pub(crate) fn usage() -> String {
    let mut usage = "\
Usage: cargo xtask test [--only <step>]...
       cargo xtask mutants [--full] [--file <glob>]... [--jobs <number>] [--seed <number>]
       cargo xtask bench-gateway [--rounds <number>] [--seconds <number>]
                                 [--only <part of a name>]

`bench-gateway` compares the gateway with nginx as a plain reverse proxy.

`mutants` changes the code in small ways and counts which changes the tests
notice: in a sample of the engines' crates, or with --full in all of them.

`test` does all set-up that the tests need and runs all of them; nothing stops
it early. With CI=true in the environment, what is left out counts as failed.

Steps:"
        .to_owned();
    for step in STEPS {
        usage.push_str(&format!("\n  {:<12} {}", step.name, step.purpose));
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_arguments_and_help_print_help() {
        for line in
            ["", "help", "--help", "-h", "test --help", "test --only docs -h", "mutants --help"]
        {
            assert_eq!(parse(line), Ok(Command::Help), "{line}");
        }
    }

    #[test]
    fn steps_can_be_named_more_than_once() {
        assert_eq!(parse("test"), Ok(Command::Test { only: vec![] }));
        assert_eq!(
            parse("test --only format --only docs"),
            Ok(Command::Test { only: vec!["format".into(), "docs".into()] })
        );
    }

    #[test]
    fn the_benchmark_takes_its_own_options() {
        let options = vec!["--rounds".into(), "7".into()];
        assert_eq!(parse("bench-gateway --rounds 7"), Ok(Command::BenchGateway { options }));
    }

    #[test]
    fn mutants_are_a_sample_unless_all_are_wanted() {
        assert_eq!(parse("mutants"), Ok(Command::Mutants(Options::default())));
        let options = Options { full: true, files: vec!["**/gate.rs".into()], jobs: 1, seed: 7 };
        assert_eq!(
            parse("mutants --full --file **/gate.rs --jobs 1 --seed 7"),
            Ok(Command::Mutants(options))
        );
    }

    #[test]
    fn what_is_not_known_is_rejected_by_name() {
        for (line, word) in [
            ("tset", "tset"),
            ("test --fast", "--fast"),
            ("test --only formal", "formal"),
            ("test --only", "--only"),
            ("mutants --fast", "--fast"),
            ("mutants --jobs", "--jobs"),
            ("mutants --seed today", "today"),
        ] {
            assert!(parse(line).is_err_and(|problem| problem.contains(word)), "{line}");
        }
    }

    #[test]
    fn usage_names_every_step() {
        assert!(STEPS.iter().all(|step| usage().contains(step.name)));
    }
}
