//! What was asked for on the command line.

use crate::steps::STEPS;

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    /// Run the named steps; all of them when none is named.
    Test {
        only: Vec<String>,
    },
}

impl Command {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        match arguments.next().as_deref() {
            None | Some("help" | "--help" | "-h") => Ok(Self::Help),
            Some("test") => Self::parse_test(arguments),
            Some(other) => Err(format!("there is no command `{other}`")),
        }
    }

    fn parse_test(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut only = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--only" => only.push(known_step(arguments.next())?),
                other => return Err(format!("`test` does not know `{other}`")),
            }
        }
        Ok(Self::Test { only })
    }
}

fn known_step(name: Option<String>) -> Result<String, String> {
    let name = name.ok_or("`--only` needs the name of a step")?;
    if STEPS.iter().any(|step| step.name == name) {
        Ok(name)
    } else {
        Err(format!("there is no step `{name}`"))
    }
}

pub(crate) fn usage() -> String {
    let mut usage = "\
Usage: cargo xtask test [--only <step>]...

Does all set-up that the tests need and runs all of them; nothing stops it
early. With CI=true in the environment, what is left out counts as failed.

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
    fn help_is_the_answer_to_nothing_and_to_help() {
        for line in ["", "help", "--help", "-h", "test --help", "test --only docs -h"] {
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
    fn what_is_not_known_is_rejected_by_name() {
        for (line, word) in [
            ("tset", "tset"),
            ("test --fast", "--fast"),
            ("test --only formal", "formal"),
            ("test --only", "--only"),
        ] {
            assert!(parse(line).is_err_and(|problem| problem.contains(word)), "{line}");
        }
    }

    #[test]
    fn usage_names_every_step() {
        assert!(STEPS.iter().all(|step| usage().contains(step.name)));
    }
}
